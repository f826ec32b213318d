//! What a hub's operator does with the treasury's key: money in and out, leaving a channel, another signing key.

use std::path::PathBuf;
use std::time::Duration;

use alloy_primitives::{Address, U256};
use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tarefa_chain::abi::FulgurHub;
use tarefa_chain::{OwnClock, Rpc, Sender, Watcher};
use tarefa_channel::Amount;
use tarefa_channel::chain::Chain as _;
use tarefa_channel::contract::{Call, Owner};
use tarefa_channel::sign::Signer as _;
use tarefa_daemon::home::Home;

use super::{MINED_MAX, SIGNER, Settings, TREASURY, home, key, mined, own_key, settings};
use crate::args::{HubClose, HubDeposit, HubDesk, HubRevoke, HubRotate, HubStatus, HubWithdraw};
use crate::ui::Ui;

/// Where the signing key is that is next, until it counts. It has a lock of its own: the hub goes on meanwhile.
const NEXT: &str = "next";
/// How often it is looked whether it counts: blocks are seconds apart.
const COUNTS_EVERY: Duration = Duration::from_secs(1);
/// A channel that is open, as the contract writes it.
const OPEN: u8 = 1;
/// What the contract says of a signer that it has never heard of.
const UNKNOWN: u64 = 0;
/// What it says of one whose revocation is not announced.
const TRUSTED: u64 = (1 << 40) - 1;

/// The treasury of a hub's directory, at work.
struct Office {
    dir: PathBuf,
    settings: Settings,
    rpc: Rpc,
    sender: Sender,
    ui: Ui,
}

impl Office {
    async fn open(desk: HubDesk) -> Result<Self> {
        let dir = home(desk.data_dir)?;
        let settings = settings(&dir)?;
        let rpc = Rpc::connect(&settings.rpc).await?;
        let sender = Sender::new(rpc.clone(), key(&dir, TREASURY)?, settings.gas_ceiling).await?;
        Ok(Self { dir, settings, rpc, sender, ui: Ui::new(desk.output.json) })
    }

    fn contract(&self) -> Address {
        self.settings.deployment.contract
    }

    async fn call(&mut self, call: &Call, what: &str) -> Result<()> {
        let sent = self.sender.call(self.contract(), call).await?;
        mined(&self.sender, &sent, what).await.map(drop)
    }

    /// Waits until the announcement of a signer is final: what it signs before that, no client takes.
    async fn counts(&self, signer: Address) -> Result<()> {
        let deployment = &self.settings.deployment;
        let (from, reorg) = (deployment.from, deployment.terms.reorg);
        let mut watcher = Watcher::new(self.rpc.clone(), self.contract(), from, reorg, OwnClock::system());
        let most = Duration::from_secs(reorg) + MINED_MAX;
        let wait = async {
            // A node that does not answer is asked again.
            while watcher.look().await.is_err() || !watcher.view.trusted(signer) {
                tokio::time::sleep(COUNTS_EVERY).await;
            }
        };
        let waited = tokio::time::timeout(most, wait).await;
        waited.with_context(|| {
            format!("the announcement of {signer} is not final in {} s: run this again", most.as_secs())
        })
    }

    /// The hub's on-chain balance: what no channel holds.
    async fn balance(&self, asset: Address) -> Result<Amount> {
        let asked = FulgurHub::balanceOfCall { party: self.sender.address(), asset };
        Ok(Amount(self.rpc.read(self.contract(), &asked).await?))
    }

    /// Until when a key signs for the hub, as the contract has it.
    async fn signs_until(&self, signer: Address) -> Result<u64> {
        Ok(self.rpc.read(self.contract(), &FulgurHub::signerUntilCall { signer }).await?.to())
    }
}

pub(super) async fn put_in(
    sender: &mut Sender,
    contract: Address,
    asset: Address,
    amount: Amount,
    ui: &Ui,
) -> Result<()> {
    if !asset.is_zero() {
        for approved in sender.approvals(contract, asset, amount, true).await? {
            let flight = sender.prepare_approval(contract, asset, approved, false).await?;
            let sent = sender.submit(flight.sent).await?;
            mined(sender, &sent, "the approval").await?;
        }
    }
    let sent = sender.call(contract, &Call::HubDeposit { asset, amount }).await?;
    mined(sender, &sent, "the deposit").await?;
    let text = format!("{amount} base units for the collateral of channels");
    ui.stage("deposited", &text, json!({ "amount": amount, "asset": asset }));
    Ok(())
}

pub async fn deposit(args: HubDeposit) -> Result<u8> {
    let mut office = Office::open(args.desk).await?;
    let contract = office.contract();
    put_in(&mut office.sender, contract, args.asset, args.amount.0, &office.ui).await?;
    office.ui.done();
    Ok(0)
}

pub async fn withdraw(args: HubWithdraw) -> Result<u8> {
    let mut office = Office::open(args.desk).await?;
    let held = office.balance(args.asset).await?;
    let amount = args.amount.map_or(held, |amount| amount.0);
    ensure!(
        !amount.is_zero() && amount <= held,
        "the hub's on-chain balance is {held}: the rest is in channels, which `tarefa hub close` leaves"
    );
    office.call(&Call::Withdraw { asset: args.asset, amount }, "the withdrawal").await?;
    let (to, left) = (office.sender.address(), held.minus(amount).unwrap_or_default());
    let facts = json!({ "amount": amount, "to": to, "left": left });
    office.ui.stage("withdrawn", &format!("{amount} to the treasury {to}, {left} stay with the contract"), facts);
    office.ui.done();
    Ok(0)
}

pub async fn close(args: HubClose) -> Result<u8> {
    let mut office = Office::open(args.desk).await?;
    let owner = Owner { client: args.client, asset: args.asset };
    let asked = FulgurHub::channelOfCall { client: owner.client, asset: owner.asset };
    let row = office.rpc.read(office.contract(), &asked).await?;
    ensure!(row.status == OPEN, "{} has no open channel in asset {} with this hub", owner.client, owner.asset);
    office.call(&Call::Close { owner, signed: None }, "the close").await?;
    let grace = office.settings.deployment.terms.grace;
    let text = format!("the channel of {} ends in {grace} s", owner.client);
    office.ui.stage("closing", &text, json!({ "client": owner.client, "asset": owner.asset, "grace": grace }));
    office
        .ui
        .say("      next: keep `tarefa hub run` running: it shows the contract the newest state, and ends the channel");
    office.ui.done();
    Ok(0)
}

pub async fn rotate(args: HubRotate) -> Result<u8> {
    let mut office = Office::open(args.desk).await?;
    let next = Home::lock(&office.dir.join(NEXT))?;
    let (old, new) = (key(&office.dir, SIGNER)?.address(), own_key(&next, SIGNER)?.address());
    match office.signs_until(new).await? {
        UNKNOWN => office.call(&Call::AnnounceSigner { signer: new }, "the announcement").await?,
        // An earlier run has got so far.
        TRUSTED => {}
        until => anyhow::bail!("{new} in {} was revoked, until {until}: remove that file", next.file(SIGNER).display()),
    }
    office.ui.stage("announced", &format!("signer {new}"), json!({ "signer": new }));
    let (has, due) = (office.rpc.balance(new).await?, U256::from(args.gas_money.0.0));
    if has < due {
        let sent = office.sender.pay(new, due - has).await?;
        mined(&office.sender, &sent, "the new signer's gas money").await?;
    }
    let reorg = office.settings.deployment.terms.reorg;
    office.ui.waiting(&format!("it to count, {reorg} s after its announcement; the hub goes on with {old}"));
    office.counts(new).await?;
    // A hub that runs would go on with the key that it has read.
    let home = Home::lock(&office.dir)
        .with_context(|| format!("{new} counts: stop the hub, run this again at once, and start the hub"))?;
    let kept = home.file(&format!("signer-{old:#x}.key"));
    if !kept.exists() {
        std::fs::hard_link(home.file(SIGNER), &kept)?;
    }
    std::fs::rename(next.file(SIGNER), home.file(SIGNER))?;
    let facts = json!({ "signer": new, "before": old });
    office.ui.stage("rotated", &format!("the hub signs with {new}; the key of {old} is {}", kept.display()), facts);
    office.ui.say("      next: start every replica again, each with the new signer.key");
    office.ui.say(&format!("     later: tarefa hub revoke {old}"));
    office.ui.done();
    Ok(0)
}

pub async fn revoke(args: HubRevoke) -> Result<u8> {
    let mut office = Office::open(args.desk).await?;
    let signer = args.signer;
    ensure!(
        key(&office.dir, SIGNER)?.address() != signer,
        "{signer} is the key that this hub signs with: `tarefa hub rotate` gives it another one first"
    );
    ensure!(office.signs_until(signer).await? == TRUSTED, "{signer} is no signer of this hub, or is revoked already");
    office.call(&Call::RevokeSigner { signer }, "the revocation").await?;
    let until = office.signs_until(signer).await?;
    let text = format!("what {signer} has signed can be enforced until {until}; clients take nothing new of it");
    office.ui.stage("revoked", &text, json!({ "signer": signer, "until": until }));
    office.ui.done();
    Ok(0)
}

pub async fn status(args: HubStatus) -> Result<u8> {
    let office = Office::open(args.desk).await?;
    let (treasury, signer) = (office.sender.address(), key(&office.dir, SIGNER)?.address());
    let balance = office.balance(args.asset).await?;
    let (reserve, gas) = (office.rpc.balance(treasury).await?, office.rpc.balance(signer).await?);
    let signs = office.signs_until(signer).await? == TRUSTED;
    let facts = json!({ "contract": office.contract(), "treasury": treasury, "treasury_has": reserve.to_string(),
        "signer": signer, "signer_has": gas.to_string(), "signs": signs, "asset": args.asset, "balance": balance });
    let warning = if signs { "" } else { ", and the contract does not know it: nothing that it signs counts" };
    let text = format!(
        "contract {}: {balance} for new channels\n  treasury {treasury}: {reserve} wei\n  signer   {signer}: {gas} wei for gas{warning}",
        office.contract()
    );
    office.ui.answer(&facts, &text);
    Ok(0)
}
