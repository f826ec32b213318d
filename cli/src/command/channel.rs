//! `tarefa channel`: the daemon of a channel, and what it is asked.

use std::path::Path;

use alloy_primitives::Address;
use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tarefa_chain::{Key, Rpc};
use tarefa_channel::sign::Signer as _;
use tarefa_channel::{Amount, ChannelId, TokenId};
use tarefa_client::{Daemon, Link, Pace, Request, Settings, backup, rpc};
use tarefa_daemon::home::Home;
use zeroize::Zeroizing;

use super::hub::dev_money;
use crate::args::{Backup, Channel, ChannelCommand, ChannelInit, ChannelRun, Output, PayInvoice, Restore};
use crate::ui::Ui;
use crate::{party, signals};

/// Of the hub's dust, the part above which a metered token's earnings are taken.
const ATTACH_ABOVE: u128 = 10;

pub async fn run(args: Channel) -> Result<u8> {
    let output = Output::from(&args);
    let dir = match args.data_dir {
        Some(dir) => dir,
        None => party::default_dir("channel")?,
    };
    let ui = Ui::new(output.json);
    let request = match args.command {
        ChannelCommand::Init(init) => return self::init(&dir, init, &ui).await,
        ChannelCommand::Run(run) => return daemon(&dir, run, &ui).await,
        ChannelCommand::Backup(to) => return back_up(&dir, &to, &ui),
        ChannelCommand::Restore(from) => return restore(&dir, &from, &ui),
        ChannelCommand::Pay(pay) => return self::pay(&dir, &pay, &ui).await,
        other => request(other)?,
    };
    let said = rpc::Address::read(&dir)?.ask(&request).await?;
    show(&ui, &said);
    Ok(0)
}

fn show(ui: &Ui, said: &Value) {
    let text = serde_json::to_string_pretty(said).unwrap_or_else(|_| said.to_string());
    ui.answer(said, &text);
}

fn request(command: ChannelCommand) -> Result<Request> {
    use ChannelCommand as C;
    Ok(match command {
        C::Status => Request::Status,
        C::History => Request::History,
        C::Open(open) => {
            Request::Subscribe { deposit: open.deposit.0, collateral: open.collateral.0, max_fee: open.max_fee.0 }
        }
        C::Invoice(invoice) => Request::Invoice {
            cap: invoice.cap.0,
            lifetime: invoice.lifetime.as_secs(),
            conditional: invoice.conditional,
        },
        C::PayOut(to) => Request::DetachOffChainTokenOnChain { to: to.to, amount: to.amount.0, lifetime: 300 },
        C::Transfer(to) => Request::TransferOnChainOnChain { to: to.to, amount: to.amount.0 },
        C::Deposit(deposit) => Request::DetachOnChainTokenOffChain {
            amount: deposit.amount.0,
            client: deposit.client,
            hub_side: deposit.hub_side,
            from_balance: deposit.from_balance,
        },
        C::WithdrawHot(how) => Request::WithdrawHot { amount: how.amount.0 },
        C::Withdraw(how) => Request::Withdraw { amount: how.amount.map(|amount| amount.0) },
        C::Voucher(voucher) => Request::Voucher { token: TokenId(voucher.token), cumulative: voucher.cumulative.0 },
        C::Collect(one) => Request::Collect { token: TokenId(one.token) },
        C::Proof(one) => Request::SendProofOfDetachment { token: TokenId(one.token) },
        C::Pop(pop) => {
            let proof = pop.proof.map(|path| read(&path, "no proof of detachment"));
            Request::PopProofOfDetachment { proof: proof.transpose()? }
        }
        C::Together(together) => Request::Together { requests: read(&together.file, "no list of requests")? },
        C::Attach(one) => Request::AttachTokenOffChain { token: TokenId(one.token) },
        C::Settle(one) => Request::SettleOffChainOffChainTransfer { token: TokenId(one.token) },
        C::Receipt(one) => Request::RetrievePaymentReceipt { token: TokenId(one.token) },
        C::Redeem(one) => Request::RedeemToken { token: TokenId(one.token) },
        C::Cancel(one) => Request::CancelToken { token: TokenId(one.token) },
        C::Decline(one) => Request::DeclineToken { token: TokenId(one.token) },
        C::Close(close) => Request::Close { last: close.last },
        C::Init(_) | C::Run(_) | C::Pay(_) | C::Backup(_) | C::Restore(_) => bail!("not a request to the daemon"),
    })
}

/// What is in a file of JSON; `else_is` says what it is not.
fn read<T: DeserializeOwned>(path: &Path, else_is: &str) -> Result<T> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("{} is {else_is}", path.display()))
}

async fn init(dir: &Path, args: ChannelInit, ui: &Ui) -> Result<u8> {
    let home = Home::lock(dir)?;
    let node = Rpc::connect(&args.rpc).await?;
    let deployment = Link::new(&args.hub)?.terms().await?;
    let terms = deployment.terms;
    let attach_above = args.attach_above.map_or(Amount(terms.dust.0.saturating_mul(ATTACH_ABOVE)), |wei| wei.0);
    let settings = Settings {
        hubs: args.hub,
        rpc: args.rpc,
        asset: args.asset,
        deployment,
        attach_above,
        gas_ceiling: args.gas_ceiling.0.0,
        manual: args.manual,
    };
    settings.check(&node).await?;
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(secret.as_mut_slice()).context("the operating system gives no random bytes")?;
    let key: Key = Settings::keep_secret(home.path(), &secret)?;
    settings.write(home.path())?;
    let address: Address = key.address();
    if let Some(amount) = args.dev_money {
        dev_money(&settings.rpc, address, amount.0.0).await?;
    }
    let contract = settings.deployment.contract;
    let text = format!(
        "{address}, hub's contract {contract}; grace {} s, be back within {} s; a payment costs {}, one to an address on chain {} (base units)",
        terms.grace,
        terms.offline_bound(),
        terms.fee,
        terms.on_fee
    );
    ui.stage("initialised", &text, json!({ "address": address, "contract": contract, "terms": terms }));
    let first = if args.dev_money.is_some() { String::new() } else { format!("send {address} money for gas, then ") };
    ui.say(&format!("      next: {first}tarefa channel run --data-dir {}", dir.display()));
    ui.done();
    Ok(0)
}

async fn daemon(dir: &Path, args: ChannelRun, ui: &Ui) -> Result<u8> {
    let home = Home::lock(dir)?;
    let (daemon, door) =
        Daemon::open(home.path(), Pace { look: args.look, wait: args.wait, ..Pace::default() }).await?;
    let (address, served) = rpc::serve(home.path(), args.listen, door).await?;
    ui.stage("ready", &format!("channel in {}, RPC at {}", dir.display(), address.url), json!({ "rpc": address.url }));
    ui.done();
    let ended = tokio::select! {
        ended = daemon.run(signals::asked_to_stop()) => ended.map_err(anyhow::Error::from),
        failed = served => failed.map_err(anyhow::Error::from),
    };
    rpc::forget(home.path());
    ended.map(|()| 0)
}

async fn pay(dir: &Path, args: &PayInvoice, ui: &Ui) -> Result<u8> {
    let address = rpc::Address::read(dir)?;
    let detach = Request::DetachOffChainTokenOffChain {
        payee: ChannelId(args.payee),
        amount: args.amount.0,
        invoice: args.invoice,
        condition: args.condition,
        metered: args.metered,
        lifetime: args.lifetime.as_secs(),
    };
    let detached = address.ask(&detach).await?;
    if args.metered || args.no_wait {
        show(ui, &detached);
        return Ok(0);
    }
    let token: TokenId = serde_json::from_value(detached["token"].clone()).context("no token")?;
    ui.stage("detached", &token.to_string(), json!({ "token": token }));
    show(ui, &address.ask(&Request::AwaitPayment { token }).await?);
    Ok(0)
}

fn passphrase(args: &Backup) -> Result<Zeroizing<String>> {
    let path = &args.passphrase_file;
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

fn back_up(dir: &Path, args: &Backup, ui: &Ui) -> Result<u8> {
    let bytes = backup::make(dir, &passphrase(args)?)?;
    backup::write(&args.file, &bytes)?;
    let text = format!("{} bytes in {}; without the passphrase nobody reads them", bytes.len(), args.file.display());
    ui.stage("backed up", &text, json!({ "file": args.file, "bytes": bytes.len() }));
    ui.done();
    Ok(0)
}

fn restore(dir: &Path, args: &Restore, ui: &Ui) -> Result<u8> {
    let home = Home::lock(dir)?;
    let file = &args.backup.file;
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    backup::restore(home.path(), &bytes, &passphrase(&args.backup)?, args.newest.as_ref())?;
    let text = "the hub is asked where the channel stands before anything is signed: start `tarefa channel run`";
    ui.stage("restored", text, json!({ "data_dir": dir }));
    ui.done();
    Ok(0)
}
