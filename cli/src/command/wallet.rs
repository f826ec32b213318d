//! `tarefa wallet`: money.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use iota_sdk::types::block::address::{Address, Bech32Address, Ed25519Address, ToBech32Ext};
use serde_json::json;
use tarefa_ledger::network::plain_output_minimum;
use tarefa_ledger::wallet::{Balance, NewOrder, OrderState, Wallet};

use crate::args;
use crate::session::Session;
use crate::ui::{Ui, money, short};
use crate::{party, session};

/// Longest wait for money to be booked: two minutes are enough for a network with milestones every 10 s.
const BOOKED_MAX: Duration = Duration::from_secs(120);
/// How often the wallet is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// The wallet's balance as of the last stored milestone.
fn offline(args: &args::Balance) -> Result<tarefa_daemon::Store> {
    let dir = match &args.party.data_dir {
        Some(dir) => dir.clone(),
        None => party::default_dir("submitter")?,
    };
    Ok(party::open_to_read(&dir)?.1)
}

fn show_balance(ui: &Ui, balance: Balance) {
    let text = format!(
        "available  {}\npending    {}\nheld       {}\nstranded   {}",
        money(balance.available),
        money(balance.pending_change),
        money(balance.held),
        money(balance.stranded)
    );
    let json = json!({
        "available": balance.available, "pending_change": balance.pending_change,
        "held": balance.held, "stranded": balance.stranded, "total": balance.total(),
    });
    ui.answer(&json, &text);
}

pub async fn balance(args: args::Balance) -> Result<u8> {
    let ui = Ui::new(args.output.json);
    let balance = if args.offline {
        let wallet: Option<Wallet> = offline(&args)?.read(|tx| tx.get("wallet"))?;
        wallet.unwrap_or_default().balance()
    } else {
        let session = Session::open(&args.party, &ui).await?;
        let balance = session.with(|driver| driver.wallet().balance()).await?;
        session.close().await?;
        balance
    };
    show_balance(&ui, balance);
    Ok(0)
}

/// Burns a fresh address and shows it in this network's form.
async fn fresh_address(session: &Session, purpose: &'static str) -> Result<String> {
    session
        .ask(move |driver| {
            let (_, address) = driver.command(|_, desk| desk.fresh_address(purpose, None))?;
            let hrp = *driver.ledger().params.bech32_hrp();
            Ok(Ed25519Address::new(address.0).to_bech32(hrp).to_string())
        })
        .await
}

pub async fn address(args: args::PartyOutput) -> Result<u8> {
    let ui = Ui::new(args.output.json);
    let session = Session::open(&args.party, &ui).await?;
    let address = fresh_address(&session, "receive").await?;
    session.close().await?;
    ui.answer(&json!({ "address": address }), &address);
    Ok(0)
}

pub async fn send(args: args::Send) -> Result<u8> {
    let ui = Ui::new(args.output.json);
    let session = Session::open(&args.party, &ui).await?;
    let hrp = session.with(|driver| *driver.ledger().params.bech32_hrp()).await?;
    let parsed = Bech32Address::try_from_str(&args.to).ok().filter(|to| to.hrp() == &hrp);
    let Some(Address::Ed25519(to)) = parsed.map(Bech32Address::into_inner) else {
        bail!("`{}` is not an Ed25519 address of this network: it begins with {hrp}1", args.to);
    };
    let (to, amount) = (*to, args.amount.0);
    let minimum = session.with(|driver| plain_output_minimum(&driver.ledger().params)).await?;
    if amount < minimum {
        bail!("{} cannot be sent: an output holds at least {} (storage deposit)", args.amount, money(minimum));
    }
    let mut random = [0u8; 8];
    getrandom::fill(&mut random).expect("the operating system gives random bytes");
    let name = format!("send:{}", hex::encode(random));
    let order = NewOrder { name: name.clone(), to, amount, expires: None };
    session
        .ask(move |driver| {
            driver.command(|_, desk| {
                desk.pay(order);
                Ok(())
            })
        })
        .await?;
    ui.waiting("waiting until it is booked");
    wait(&session, move |wallet| wallet.order_state(&name) == Some(OrderState::Settled))
        .await
        .context("the payment was not booked in time; it stays ordered, and any command here carries it on")?;
    session.close().await?;
    let text = format!("{} sent to {}", args.amount, args.to);
    ui.answer(&json!({ "sent": args.amount, "to": args.to }), &text);
    Ok(0)
}

async fn wait(session: &session::Session, done: impl Fn(&Wallet) -> bool + Clone + Send + 'static) -> Result<()> {
    let until = tokio::time::Instant::now() + BOOKED_MAX;
    loop {
        let done = done.clone();
        if session.with(move |driver| done(driver.wallet())).await? {
            return Ok(());
        }
        if tokio::time::Instant::now() >= until {
            bail!("nothing was booked within {} s", BOOKED_MAX.as_secs());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

pub async fn history(args: args::Balance) -> Result<u8> {
    let ui = Ui::new(args.output.json);
    let rows = if args.offline {
        offline(&args)?.read(|tx| tx.history())?
    } else {
        let session = Session::open(&args.party, &ui).await?;
        let rows = session.ask(|driver| driver.store().read(|tx| tx.history())).await?;
        session.close().await?;
        rows
    };
    ui.done();
    if rows.is_empty() {
        ui.say("no movements yet");
    }
    for row in rows {
        let line = format!(
            "{}  {:<3} {:>16}  {}  {}",
            row.at,
            row.direction,
            money(row.amount),
            short(&row.transaction),
            row.note
        );
        ui.answer(&json!(row), &line);
    }
    Ok(0)
}

pub async fn addresses(args: args::Balance) -> Result<u8> {
    let ui = Ui::new(args.output.json);
    let rows = if args.offline {
        offline(&args)?.read(|tx| tx.shown_addresses())?
    } else {
        let session = Session::open(&args.party, &ui).await?;
        let rows = session.ask(|driver| driver.store().read(|tx| tx.shown_addresses())).await?;
        session.close().await?;
        rows
    };
    ui.done();
    for row in rows {
        let line = format!("{:>6}  {:<8} 0x{}", row.index, row.purpose, row.address);
        ui.answer(&json!(row), &line);
    }
    Ok(0)
}

/// Asks the faucet at `url` for funds and waits until they are booked: (address, base units received).
pub async fn ask_faucet(session: &Session, url: &str) -> Result<(String, u64)> {
    let before = session.with(|driver| driver.wallet().balance().total()).await?;
    let address = fresh_address(session, "faucet").await?;
    session.node.ask_faucet(url, &address).await.with_context(|| format!("the faucet at {url}"))?;
    wait(session, move |wallet| wallet.balance().total() > before)
        .await
        .with_context(|| format!("the faucet at {url} took the request, but paid nothing so far"))?;
    let after = session.with(|driver| driver.wallet().balance().total()).await?;
    Ok((address, after - before))
}

pub async fn faucet(args: args::Faucet) -> Result<u8> {
    let ui = Ui::new(args.output.json);
    let session = Session::open(&args.party, &ui).await?;
    ui.waiting("waiting for the faucet's payment");
    let url = args.faucet.as_deref().unwrap_or(&args.party.node);
    let (address, received) = ask_faucet(&session, url).await?;
    let total = session.with(|driver| driver.wallet().balance().total()).await?;
    session.close().await?;
    let text = format!("{} received, the wallet holds {}", money(received), money(total));
    ui.answer(&json!({ "received": received, "total": total, "address": address }), &text);
    Ok(0)
}
