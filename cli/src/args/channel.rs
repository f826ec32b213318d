//! `tarefa channel`: one payment channel with a hub.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use alloy_primitives::{Address, B256};
use clap::{Args as ClapArgs, Subcommand};
use tarefa_client::Anchor;

use super::wei::Wei;
use super::{Output, duration};

/// `tarefa channel`
#[derive(Debug, ClapArgs)]
pub struct Channel {
    /// Where key, settings and store are [default: the user's data directory].
    #[arg(long, env = "TAREFA_DATA_DIR", global = true)]
    pub data_dir: Option<PathBuf>,
    /// One JSON object a line on stdout.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: ChannelCommand,
}

/// What to do with a channel. All but `init`, `run` and `restore` ask the daemon that `run` is.
#[derive(Debug, Subcommand)]
pub enum ChannelCommand {
    /// Choose hub and chain, agree to the hub's terms, and make a key.
    Init(ChannelInit),
    /// Keep the channel: watch the chain, take what arrives, answer the other commands.
    Run(ChannelRun),
    /// Where everything stands.
    Status,
    /// What has happened.
    History,
    /// Open the channel (seed: subscribe).
    Open(Open),
    /// Ask for money.
    Invoice(Invoice),
    /// Pay an invoice, and wait for the receipt (seed: detachOffChainTokenOffChain).
    Pay(PayInvoice),
    /// Pay an address on chain out of the channel (seed: detachOffChainTokenOnChain).
    PayOut(ToAddress),
    /// Pay an address from the on-chain balance (seed: transferOnChainOnChain).
    Transfer(ToAddress),
    /// Put money into a channel (seed: detachOnChainTokenOffChain).
    Deposit(Deposit),
    /// Take money out of the channel while it runs, to the on-chain balance.
    WithdrawHot(HowMuch),
    /// Pay the on-chain balance out to the key's account.
    Withdraw(MaybeHowMuch),
    /// Vouch for more of a metered token.
    Voucher(Voucher),
    /// End the metering of a token and take what it has earned.
    Collect(OneToken),
    /// Show the hub's promise of a token, to hand it over (seed: sendProofOfDetachment).
    Proof(OneToken),
    /// Count on the next token that was offered, or on one handed over (seed: popProofOfDetachment).
    Pop(Pop),
    /// Take a token (seed: attachTokenOffChain).
    Attach(OneToken),
    /// Settle a token that has arrived (seed: settleOffChainOffChainTransfer).
    Settle(OneToken),
    /// The receipt of a token (seed: retrievePaymentReceipt).
    Receipt(OneToken),
    /// Redeem a token on chain (seed: redeemToken).
    Redeem(OneToken),
    /// Take a token back: declined, or after its last deadline.
    Cancel(OneToken),
    /// Give a token up.
    Decline(OneToken),
    /// Several payments, withdrawals, settlements, … in one state: all of them or none.
    Together(Together),
    /// Leave: on chain whatever the hub says, or by a last state that both sign.
    Close(Close),
    /// An encrypted backup.
    Backup(Backup),
    /// Begin again from a backup; the hub is asked where the channel stands before anything is signed.
    Restore(Restore),
}

/// `tarefa channel init`
#[derive(Debug, ClapArgs)]
pub struct ChannelInit {
    /// The hub; several times for its replicas.
    #[arg(long, required = true)]
    pub hub: Vec<String>,
    /// JSON-RPC of the hub's chain: your own node, or one that you trust to show you what happens.
    #[arg(long)]
    pub rpc: String,
    /// An ERC-20 contract [default: the native asset]. What you put in, the hub's contract is approved to take first.
    #[arg(long, default_value_t = Address::ZERO)]
    pub asset: Address,
    /// Take, settle and decline tokens only when told to.
    #[arg(long)]
    pub manual: bool,
    /// Take what a metered token has earned above this; below, a hub that falls silent costs a redemption [default: ten times the hub's dust].
    #[arg(long)]
    pub attach_above: Option<Wei>,
    /// The most that is paid for each gas.
    #[arg(long, default_value = "200gwei")]
    pub gas_ceiling: Wei,
    /// Give the key's account test money, which only development chains do.
    #[arg(long)]
    pub dev_money: Option<Wei>,
}

/// `tarefa channel run`
#[derive(Debug, ClapArgs)]
pub struct ChannelRun {
    /// Where its RPC listens: a loopback address.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// How often it looks at the chain.
    #[arg(long, default_value = "500ms", value_parser = duration)]
    pub look: Duration,
    /// How long a request waits for what it has begun.
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub wait: Duration,
}

/// `tarefa channel open`
#[derive(Debug, ClapArgs)]
pub struct Open {
    /// What you put in.
    #[arg(long, default_value = "0")]
    pub deposit: Wei,
    /// What you would like the hub to put in: what you can receive.
    #[arg(long, default_value = "0")]
    pub collateral: Wei,
    /// The most you pay the hub for it.
    #[arg(long, default_value = "0.002eth")]
    pub max_fee: Wei,
}

/// `tarefa channel invoice`
#[derive(Debug, ClapArgs)]
pub struct Invoice {
    /// At most this much.
    pub cap: Wei,
    /// How long it is good for.
    #[arg(long, default_value = "5m", value_parser = duration)]
    pub lifetime: Duration,
    /// Reveal a secret when it is paid, which the payer gets with the receipt.
    #[arg(long)]
    pub conditional: bool,
}

/// `tarefa channel pay`
#[derive(Debug, ClapArgs)]
pub struct PayInvoice {
    /// How much; metered: at most.
    pub amount: Wei,
    /// The payee's channel.
    #[arg(long)]
    pub payee: B256,
    /// The payee's invoice.
    #[arg(long)]
    pub invoice: B256,
    /// The invoice's condition.
    #[arg(long, default_value_t = B256::ZERO)]
    pub condition: B256,
    /// For vouchers.
    #[arg(long)]
    pub metered: bool,
    /// How long the payee has to take it.
    #[arg(long, default_value = "5m", value_parser = duration)]
    pub lifetime: Duration,
    /// Do not wait for the receipt.
    #[arg(long)]
    pub no_wait: bool,
}

/// An address and an amount.
#[derive(Debug, ClapArgs)]
pub struct ToAddress {
    /// To whom.
    pub to: Address,
    /// How much.
    pub amount: Wei,
}

/// `tarefa channel deposit`
#[derive(Debug, ClapArgs)]
pub struct Deposit {
    /// How much.
    pub amount: Wei,
    /// Whose channel [default: yours].
    #[arg(long)]
    pub client: Option<Address>,
    /// Into the hub's side.
    #[arg(long)]
    pub hub_side: bool,
    /// From the on-chain balance rather than from the key's account.
    #[arg(long)]
    pub from_balance: bool,
}

/// An amount.
#[derive(Debug, ClapArgs)]
pub struct HowMuch {
    /// How much.
    pub amount: Wei,
}

/// An amount, or all.
#[derive(Debug, ClapArgs)]
pub struct MaybeHowMuch {
    /// How much [default: all].
    pub amount: Option<Wei>,
}

/// `tarefa channel voucher`
#[derive(Debug, ClapArgs)]
pub struct Voucher {
    /// The token.
    pub token: B256,
    /// In all.
    pub cumulative: Wei,
}

/// A token.
#[derive(Debug, ClapArgs)]
pub struct OneToken {
    /// Its id.
    pub token: B256,
}

/// `tarefa channel pop`
#[derive(Debug, ClapArgs)]
pub struct Pop {
    /// A file with what `proof` has shown [default: the next one in the mailbox].
    #[arg(long)]
    pub proof: Option<PathBuf>,
}

/// `tarefa channel together`
#[derive(Debug, ClapArgs)]
pub struct Together {
    /// A file with a JSON list of requests as the RPC takes them: `[{"method": "withdrawHot", "params": {"amount": "5"}}, …]`.
    pub file: PathBuf,
}

/// `tarefa channel close`
#[derive(Debug, ClapArgs)]
pub struct Close {
    /// By a last state that the hub signs too: at once, and cheaper.
    #[arg(long)]
    pub last: bool,
}

/// `tarefa channel restore`
#[derive(Debug, ClapArgs)]
pub struct Restore {
    /// What to restore.
    #[command(flatten)]
    pub backup: Backup,
    /// What you have noted since, `anchor` of `channel status`: a hub that shows less than this hides what you have earned.
    #[arg(long)]
    pub newest: Option<Anchor>,
}

/// `tarefa channel backup`
#[derive(Debug, ClapArgs)]
pub struct Backup {
    /// The backup.
    pub file: PathBuf,
    /// A file whose first line is the passphrase, twelve characters or more.
    #[arg(long)]
    pub passphrase_file: PathBuf,
}

/// Output form of a channel's command.
impl From<&Channel> for Output {
    fn from(channel: &Channel) -> Self {
        Self { json: channel.json }
    }
}
