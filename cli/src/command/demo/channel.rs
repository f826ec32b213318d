//! The demo of the channel rail: a chain, a hub, Alice, Bob and Mallory, each a process of its own. Every way to pay, every way out, and in
//! the end every wei accounted for.

mod people;

use std::path::Path;
use std::time::Duration;

use alloy_primitives::{Address, B256};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tarefa_chain::abi::FulgurHub;
use tarefa_chain::{Key, Rpc};
use tarefa_channel::{Amount, ChannelId, TokenId};
use tarefa_client::Request;

use super::evm::Evm;
use super::part::{Part, ask};
use crate::args::{Demo, EvmKind};
use crate::ui::Ui;
use people::{People, Person};

/// A thousandth of an ether, which amounts here are written in.
const MILLI: u128 = 1_000_000_000_000_000;
/// Test money of each account.
const PURSE: &str = "10eth";
/// What the hub begins with.
const HUB: u128 = 5000 * MILLI;
/// What it asks for an opening, a payment, and a payment to an address.
const OPENING: u128 = 160_000_000_000_000;
const FEE: u128 = 1_000_000_000;
const ON_FEE: u128 = 1_000_000_000_000;
/// The grace period of this contract, seconds: long enough to contest, short enough to watch.
const GRACE: &str = "12";
/// How long anything that takes a grace period may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// What each of them must have in the end, on chain, in wei.
#[derive(Default)]
struct Ledger {
    alice: i128,
    bob: i128,
    mallory: i128,
    carol: i128,
    hub: i128,
}

pub async fn run(args: &Demo, ui: &Ui) -> Result<u8> {
    let temporary;
    let base = match &args.data_dir {
        Some(dir) => dir.join(format!("channel-{}", std::process::id())),
        None => {
            temporary = tempfile::tempdir().context("no temporary directory")?;
            temporary.path().to_owned()
        }
    };
    let (chain, url) = match args.evm {
        EvmKind::Embedded => Evm::embedded().await?,
        EvmKind::Anvil => Evm::anvil(&args.anvil).await?,
    };
    let kind = if args.evm == EvmKind::Anvil { "anvil" } else { "dev EVM" };
    ui.stage("chain", &format!("{kind} at {url}"), json!({ "rpc": url, "kind": kind }));
    let shown = show(ui, &base, &url).await;
    let stopped = chain.stop().await;
    shown?;
    stopped?;
    ui.done();
    Ok(0)
}

async fn show(ui: &Ui, base: &Path, rpc: &str) -> Result<()> {
    let mut people = People::begin(ui, base, rpc).await?;
    let mut due = Ledger { hub: i128::try_from(HUB)?, ..Ledger::default() };
    open(ui, &people, &mut due).await?;
    off_to_off(ui, &people, &mut due).await?;
    hot(ui, &people, &mut due).await?;
    on_and_off(ui, &people, &mut due).await?;
    contested(ui, &mut people, &mut due).await?;
    silent_hub(ui, &mut people, &mut due).await?;
    leave(ui, &people).await?;
    reconcile(ui, &people, &due).await?;
    people.stop().await
}

fn wei(milli: u128) -> i128 {
    i128::try_from(milli * MILLI).unwrap_or(i128::MAX)
}

fn fee(amount: u128) -> i128 {
    i128::try_from(amount).unwrap_or(i128::MAX)
}

async fn open(ui: &Ui, people: &People, due: &mut Ledger) -> Result<()> {
    for (person, deposit, collateral) in [(&people.alice, 1000, 0), (&people.bob, 100, 1000), (&people.mallory, 300, 0)]
    {
        let subscribe = Request::Subscribe {
            deposit: Amount(deposit * MILLI),
            collateral: Amount(collateral * MILLI),
            max_fee: Amount(OPENING),
        };
        let opened = person.ask(&subscribe).await?;
        let text =
            format!("{} has a channel: {} m\u{39e} of its own, {collateral} m\u{39e} of the hub", person.name, deposit);
        ui.stage("subscribed", &text, opened);
    }
    due.alice += wei(1000);
    due.bob += wei(100);
    due.mallory += wei(300);
    due.hub += 3 * fee(OPENING);
    Ok(())
}

/// Bob asks for money.
async fn invoice(bob: &Person, milli: u128, conditional: bool) -> Result<(ChannelId, B256, B256)> {
    let asked = bob.ask(&Request::Invoice { cap: Amount(milli * MILLI), lifetime: 300, conditional }).await?;
    let field = |name: &str| serde_json::from_value(asked[name].clone()).with_context(|| format!("no {name}"));
    Ok((ChannelId(field("payee")?), field("invoice")?, field("condition")?))
}

/// A payer pays it; the token.
async fn pay(payer: &Person, of: (ChannelId, B256, B256), milli: u128, metered: bool) -> Result<TokenId> {
    let (payee, invoice, condition) = of;
    let detach = Request::DetachOffChainTokenOffChain {
        payee,
        amount: Amount(milli * MILLI),
        invoice,
        condition,
        metered,
        lifetime: 120,
    };
    let detached = payer.ask(&detach).await?;
    serde_json::from_value(detached["token"].clone()).context("no token")
}

async fn off_to_off(ui: &Ui, people: &People, due: &mut Ledger) -> Result<()> {
    let token = pay(&people.alice, invoice(&people.bob, 100, true).await?, 100, false).await?;
    people.alice.ask(&Request::AwaitPayment { token }).await?;
    let fetched = people.alice.ask(&Request::RetrievePaymentReceipt { token }).await?;
    ensure!(fetched["from"] == "hub", "the receipt came from {}", fetched["from"]);
    let preimage: B256 = serde_json::from_value(fetched["receipt"]["preimage"].clone())?;
    ensure!(!preimage.is_zero(), "a conditional payment reveals its secret");
    let text = format!("Alice pays Bob 100 m\u{39e}; receipt from the hub, secret {}", crate::ui::short(&preimage));
    ui.stage("off→off", &text, json!({ "token": token, "receipt": fetched["receipt"] }));
    due.alice -= wei(100) + fee(FEE);
    due.bob += wei(100);
    due.hub += fee(FEE);

    let token = pay(&people.alice, invoice(&people.bob, 50, false).await?, 50, true).await?;
    for tick in 1..=5 {
        people.alice.ask(&Request::Voucher { token, cumulative: Amount(tick * 6 * MILLI) }).await?;
    }
    people.bob.ask(&Request::Collect { token }).await?;
    people.alice.ask(&Request::AwaitPayment { token }).await?;
    ui.stage(
        "metered",
        "five vouchers of 6 m\u{39e}, one message each; Bob takes 30 of 50 m\u{39e}",
        json!({ "token": token }),
    );
    due.alice -= wei(30) + fee(FEE);
    due.bob += wei(30);
    due.hub += fee(FEE);
    Ok(())
}

async fn hot(ui: &Ui, people: &People, due: &mut Ledger) -> Result<()> {
    let (alice, bob) = (&people.alice, &people.bob);
    alice.ask(&Request::WithdrawHot { amount: Amount(50 * MILLI) }).await?;
    alice.until("the withdrawal is on chain", |status| status["onChainBalance"] == (50 * MILLI).to_string()).await?;
    ui.stage(
        "hot withdrawal",
        "Alice takes 50 m\u{39e} out while the channel runs",
        json!({ "amount": (50 * MILLI).to_string() }),
    );
    let deposit = |amount: u128, client, from_balance| Request::DetachOnChainTokenOffChain {
        amount: Amount(amount * MILLI),
        client,
        hub_side: false,
        from_balance,
    };
    let before = balance(alice, "client").await?;
    alice.ask(&deposit(20, None, false)).await?;
    alice.until("the refill is acknowledged", |status| share(status, "client") == Some(before + 20 * MILLI)).await?;
    due.alice += wei(20);
    ui.stage(
        "hot refill",
        "Alice puts 20 m\u{39e} in; the next state acknowledges it",
        json!({ "amount": (20 * MILLI).to_string() }),
    );
    let before = balance(bob, "client").await?;
    alice.ask(&deposit(10, Some(bob.address), true)).await?;
    bob.until("the gift is acknowledged", |status| share(status, "client") == Some(before + 10 * MILLI)).await?;
    due.alice -= wei(10);
    due.bob += wei(10);
    ui.stage(
        "on→off",
        "10 m\u{39e} of Alice's on-chain balance go into Bob's channel",
        json!({ "amount": (10 * MILLI).to_string() }),
    );
    Ok(())
}

async fn on_and_off(ui: &Ui, people: &People, due: &mut Ledger) -> Result<()> {
    let alice = &people.alice;
    alice.ask(&Request::TransferOnChainOnChain { to: people.bob.address, amount: Amount(5 * MILLI) }).await?;
    due.alice -= wei(5);
    due.bob += wei(5);
    ui.stage("on→on", "5 m\u{39e} between on-chain balances", json!({ "amount": (5 * MILLI).to_string() }));
    let pay = Request::DetachOffChainTokenOnChain { to: people.carol, amount: Amount(40 * MILLI), lifetime: 120 };
    let paid = alice.ask(&pay).await?;
    people.until("Carol is paid on chain", || async { Ok(people.on_chain(people.carol).await? == 40 * MILLI) }).await?;
    alice.until("the token is settled", |status| status["channel"]["paying"] == json!([])).await?;
    due.alice -= wei(40) + fee(ON_FEE);
    due.carol += wei(40);
    due.hub += fee(ON_FEE);
    ui.stage("off→on", "Alice's channel pays Carol, who has none, 40 m\u{39e} on chain", paid);
    Ok(())
}

/// Mallory pays Bob and then closes as if it had not: the hub contests.
async fn contested(ui: &Ui, people: &mut People, due: &mut Ledger) -> Result<()> {
    let token = pay(&people.mallory, invoice(&people.bob, 200, false).await?, 200, false).await?;
    people.mallory.ask(&Request::AwaitPayment { token }).await?;
    people.mallory.until("the payment is settled", |status| status["channel"]["paying"] == json!([])).await?;
    due.mallory -= wei(200) + fee(FEE);
    due.bob += wei(200);
    due.hub += fee(FEE);
    people.mallory_cheats().await?;
    ui.stage(
        "unfriendly close",
        "Mallory has paid Bob 200 m\u{39e}, and closes at the state before it had",
        json!({ "token": token }),
    );
    let all = |person: &Person| person.address;
    let mallory = all(&people.mallory);
    people.until("the closed channel is final", || async { Ok(people.on_chain(mallory).await? > 0) }).await?;
    let has = people.on_chain(mallory).await?;
    ensure!(fee(has) == due.mallory, "Mallory ends with {has}, {} is due", due.mallory);
    ui.stage(
        "contested",
        "the hub shows the newest state, and Mallory gets what that says",
        json!({ "mallory": has.to_string() }),
    );
    Ok(())
}

/// The hub dies with a payment half done: Bob goes to the chain.
async fn silent_hub(ui: &Ui, people: &mut People, due: &mut Ledger) -> Result<()> {
    let token = pay(&people.alice, invoice(&people.bob, 80, false).await?, 80, true).await?;
    people.alice.ask(&Request::Voucher { token, cumulative: Amount(70 * MILLI) }).await?;
    people.kill_hub().await?;
    ui.stage(
        "silent hub",
        "Alice has vouched for 70 m\u{39e}; the hub is killed before Bob takes them",
        json!({ "token": token }),
    );
    people.bob.ask(&Request::Collect { token }).await?;
    people.bob.until("Bob redeems", |status| redeemed(status, token, "Pending")).await?;
    ui.stage("redeemed", "Bob shows token, promise and voucher to the contract", json!({ "token": token }));
    people.bob.until("the redemption is credited", |status| redeemed(status, token, "Credited")).await?;
    people.start_hub().await?;
    people.bob.until("Bob's channel goes on", |status| status["channel"]["earning"] == json!([])).await?;
    people.alice.until("Alice settles what was redeemed", |status| status["channel"]["paying"] == json!([])).await?;
    due.alice -= wei(70) + fee(FEE);
    due.bob += wei(70);
    due.hub += fee(FEE);
    ui.stage(
        "credited",
        "after the grace period Bob has his 70 m\u{39e}; the hub is back, the channels go on",
        json!({ "token": token }),
    );
    Ok(())
}

fn redeemed(status: &Value, token: TokenId, stage: &str) -> bool {
    let earning = status["channel"]["earning"].as_array();
    let found = earning.and_then(|all| all.iter().find(|one| one["token"] == json!(token)));
    // What is credited may be acknowledged already.
    found.map_or(stage == "Credited", |one| one["redemption"] == stage)
}

async fn leave(ui: &Ui, people: &People) -> Result<()> {
    for person in [&people.alice, &people.bob] {
        person.ask(&Request::Close { last: true }).await?;
        person.until("the channel is final", |status| status["onChain"] == "none").await?;
        ui.stage("final close", &format!("{} and the hub sign a last state: paid at once", person.name), json!({}));
    }
    Ok(())
}

async fn balance(person: &Person, side: &str) -> Result<u128> {
    let status = person.ask(&Request::Status).await?;
    share(&status, side).context("no balance")
}

fn share(status: &Value, side: &str) -> Option<u128> {
    status["channel"][side].as_str()?.parse().ok()
}

/// Every wei: what each has on chain, what the contract holds, and what each account has left after gas.
async fn reconcile(ui: &Ui, people: &People, due: &Ledger) -> Result<()> {
    let treasury = people.treasury;
    let mut sum = 0;
    let parties = [
        ("Alice", people.alice.address, due.alice),
        ("Bob", people.bob.address, due.bob),
        ("Mallory", people.mallory.address, due.mallory),
        ("Carol", people.carol, due.carol),
        ("hub", treasury, due.hub),
    ];
    for (name, address, due) in parties {
        let has = people.on_chain(address).await?;
        ensure!(fee(has) == due, "{name} has {has} wei, {due} are due");
        sum += has;
        ui.stage(
            "balance",
            &format!("{name:<8} {has:>22} wei, to the wei"),
            json!({ "who": name, "wei": has.to_string() }),
        );
    }
    let holds = people.rpc.balance(people.contract).await?;
    ensure!(holds == alloy_primitives::U256::from(sum), "the contract holds {holds}, its parties have {sum}");
    for person in [&people.alice, &people.bob] {
        person.ask(&Request::Withdraw { amount: None }).await?;
        person.until("the calls are written down", |status| status["callsUnderWay"] == 0).await?;
        let (spent, moved) = person.spent().await?;
        let account = people.rpc.balance(person.address).await?;
        let begun: u128 = 10_000 * MILLI;
        let paid_in = match person.name {
            "Alice" => 1000 * MILLI + 20 * MILLI + OPENING,
            _ => 100 * MILLI + OPENING,
        };
        let out = u128::try_from(if person.name == "Alice" { due.alice } else { due.bob })?;
        let expected = alloy_primitives::U256::from(begun - paid_in - spent + out);
        ensure!(account == expected, "{}'s account has {account} wei, {expected} are due", person.name);
        let text = format!("{:<8} {account:>22} wei in the account; {moved} transactions cost {spent}", person.name);
        ui.stage(
            "withdrawn",
            &text,
            json!({ "who": person.name, "wei": account.to_string(), "gas": spent.to_string() }),
        );
    }
    let text = format!("{sum} wei came in, {sum} wei are accounted for");
    ui.stage("done", &text, json!({ "wei": sum.to_string() }));
    Ok(())
}

async fn part_ready(mut part: Part) -> Result<(Part, Value)> {
    let ready = part.stage("ready").await?;
    Ok((part, ready))
}
