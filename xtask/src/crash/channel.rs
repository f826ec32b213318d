//! `cargo xtask crash --channels` and `--store`: SIGKILL of the hub, of both clients, or of the database server behind the hub, at every commit
//! boundary over the life of two channels. Without a server each party cheats once, and the other one defends itself.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::cheat::Cheat;
use super::scenario::{end, first_line};
use super::server::Server;

/// No scenario takes longer, restarts included, but for a server that reads its log.
const SCENARIO_MAX: Duration = Duration::from_secs(120);
/// A hub may be the first to notice that its server is gone; so long after its end the server is seen to be gone too.
const SERVER_GONE: Duration = Duration::from_secs(5);
/// Each start of a hub can meet a server that is not quite back; more often than this it is not the server.
const RESTARTS_MAX: u32 = 5;
/// How often it is looked how far it is.
const PAUSE: Duration = Duration::from_millis(100);
/// What Alice puts in, what each payment is worth, what she takes out and puts in again, base units.
const DEPOSIT: u64 = 100_000;
const PAYMENT: u64 = 7_000;
const METERED: u64 = 5_000;
const PAID_OUT: u64 = 2_000;
const OUT: u64 = 3_000;
const COLLATERAL: u64 = 50_000;
/// What Bob is promised and does not want.
const DECLINED: u64 = 600;
/// What she opens her second channel with, and what Bob redeems of it.
const AGAIN: u64 = 1_000;
const REDEEMED: u64 = 400;
/// Seconds in which a close can be contested, and how many of them a hub may be silent before a client leaves it. A killed hub is back in two,
/// and each run waits for the first.
const HUB_GRACE: [&str; 2] = ["15", "10"];
/// The same where a hub has to wait for a server that reads its log first: as long as clients wait for any hub. Nothing is contested there.
const SERVER_GRACE: [&str; 2] = ["80", "60"];
/// What the hub takes.
const FEE: u64 = 10;

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    Hub,
    Alice,
    Bob,
}

/// All of them.
pub const PARTIES: [Party; 3] = [Party::Hub, Party::Alice, Party::Bob];

impl Party {
    fn name(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::Alice => "alice",
            Self::Bob => "bob",
        }
    }
}

/// Where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boundary {
    /// Whose commit.
    pub party: Party,
    /// Not the party is killed there, but the server of its store.
    pub server: bool,
    pub commit: u64,
    pub after: bool,
}

impl std::fmt::Display for Boundary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let when = if self.after { "after" } else { "before" };
        let server = if self.server { "'s server" } else { "" };
        write!(f, "{:?}{server}, {when} commit {}", self.party, self.commit)
    }
}

/// What a run came to.
pub struct Outcome {
    /// Commits of each, in the order of [`PARTIES`].
    pub commits: [u64; 3],
    pub hit: bool,
}

pub struct Scenario {
    binary: PathBuf,
    dir: tempfile::TempDir,
    rpc: String,
    hub: String,
    chain: Child,
    /// In the order of [`PARTIES`].
    daemons: [Option<Child>; 3],
    /// Who is not there for a while. It is not started again until it is missed.
    halted: Option<Party>,
    boundary: Option<Boundary>,
    /// Where the hub's rows are, if not in its directory.
    server: Option<Server>,
    hit: bool,
    /// How often the hub was started again though not itself was killed.
    restarts: u32,
    until: Instant,
}

impl Drop for Scenario {
    fn drop(&mut self) {
        end(&mut self.chain);
        self.daemons.iter_mut().flatten().for_each(end);
    }
}

impl Scenario {
    pub fn new(binary: &Path) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let up = ["testnet", "up", "--memory", "--listen", "127.0.0.1:0", "--evm-listen", "127.0.0.1:0", "--json"];
        let mut chain = Command::new(binary).args(up).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let rpc = stage(&mut chain, "evm")?["evm"].as_str().context("no URL of the chain")?.to_owned();
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let hub = format!("http://127.0.0.1:{port}");
        let until = Instant::now() + SCENARIO_MAX;
        let (daemons, boundary) = ([const { None }; 3], None);
        let binary = binary.to_owned();
        Ok(Self {
            binary,
            dir,
            rpc,
            hub,
            chain,
            daemons,
            halted: None,
            boundary,
            server: None,
            hit: false,
            restarts: 0,
            until,
        })
    }

    /// The hub keeps its rows in a new database of this server.
    pub fn over(mut self, server: Server) -> Self {
        self.server = Some(server);
        self
    }

    fn dir(&self, party: Party) -> PathBuf {
        self.dir.path().join(party.name())
    }

    fn command(&self, args: &[&str], party: Party) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(args).arg("--json").env("TAREFA_DATA_DIR", self.dir(party)).stdin(Stdio::null());
        command
    }

    fn ask(&self, args: &[&str], party: Party) -> Result<Value> {
        let output = self.command(args, party).output()?;
        ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout)?;
        Ok(serde_json::from_str(text.lines().last().unwrap_or("null"))?)
    }

    fn start(&mut self, party: Party, with_fault: bool) -> Result<()> {
        let listen = self.hub.trim_start_matches("http://").to_owned();
        let mut command = match party {
            Party::Hub => match &self.server {
                None => self.command(&["hub", "run", "--listen", &listen, "--look", "100ms"], party),
                // A replica commits its lease at each look.
                Some(server) => self.command(
                    &["hub", "run", "--listen", &listen, "--look", "500ms", "--store", &server.database],
                    party,
                ),
            },
            Party::Alice | Party::Bob => self.command(&["channel", "run", "--look", "100ms", "--wait", "5s"], party),
        };
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        if with_fault {
            // Boundaries are of the first process of each.
            command.env("TAREFA_COMMIT_COUNT", self.dir.path().join(format!("{}.commits", party.name())));
        }
        if let Some(boundary) = self.boundary.filter(|boundary| with_fault && boundary.party == party) {
            let when = if boundary.after { "after" } else { "before" };
            command.env("TAREFA_CRASH_AT", format!("{}:{when}", boundary.commit));
            if let (true, Some(server)) = (boundary.server, &self.server) {
                command.env("TAREFA_CRASH_VICTIM", server.process()?);
            }
        }
        let mut child = command.spawn()?;
        // It may die before it is ready: then it is started again.
        first_line(&mut child).ok();
        self.daemons[party as usize] = Some(child);
        Ok(())
    }

    /// Starts the server again if it was killed.
    fn revive_server(&mut self) -> Result<()> {
        if let Some(server) = &self.server
            && !server.runs()
        {
            ensure!(!self.hit, "the server ended by itself");
            self.hit = true;
            // Reading its log takes the time it takes: that of the scenario stands still.
            let begun = Instant::now();
            server.start()?;
            self.until += begun.elapsed();
        }
        Ok(())
    }

    /// Starts again whoever was killed.
    fn revive(&mut self) -> Result<()> {
        self.revive_server()?;
        let halted = self.halted;
        for party in PARTIES.into_iter().filter(|party| halted != Some(*party)) {
            let Some(child) = &mut self.daemons[party as usize] else { continue };
            if let Some(status) = child.try_wait()? {
                match self.boundary.filter(|boundary| boundary.party == party) {
                    // A hub that begins without its server says so and ends.
                    Some(boundary) if boundary.server => {
                        let until = Instant::now() + SERVER_GONE;
                        while !self.hit && Instant::now() < until {
                            std::thread::sleep(PAUSE);
                            self.revive_server()?;
                        }
                        let excused = self.hit && self.restarts < RESTARTS_MAX;
                        ensure!(excused, "{} ended by itself: {status}", party.name());
                        self.restarts += 1;
                    }
                    ours => ensure!(ours.is_some() && !self.hit, "{} ended by itself: {status}", party.name()),
                }
                self.hit = true;
                self.start(party, false)?;
            }
        }
        Ok(())
    }

    /// Asks again and again for something, until it is done: a request of a daemon that is killed may or may not have come about.
    fn until(&mut self, what: &str, party: Party, ask: &[&str], done: impl Fn(&Self) -> Result<bool>) -> Result<()> {
        self.until_unless(what, party, ask, |_| Ok(false), done)
    }

    /// The same for what must not be ordered twice: nothing is asked while something is on its way, which may be this or something else.
    fn until_unless(
        &mut self,
        what: &str,
        party: Party,
        ask: &[&str],
        busy: impl Fn(&Self) -> Result<bool>,
        done: impl Fn(&Self) -> Result<bool>,
    ) -> Result<()> {
        let mut last = String::new();
        loop {
            self.revive()?;
            if done(self).unwrap_or(false) {
                return Ok(());
            }
            if Instant::now() > self.until {
                let status = self.ask(&["channel", "status"], party).unwrap_or_default();
                bail!("not done: {what}; the last answer was {last}; status {status}");
            }
            if !ask.is_empty()
                && !busy(self).unwrap_or(true)
                && let Err(error) = self.ask(ask, party)
            {
                last = format!("{error:#}");
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn status(&self, party: Party) -> Result<Value> {
        self.ask(&["channel", "status"], party)
    }

    /// Two channels from their opening to their end, with a kill at the boundary.
    pub fn run(mut self, boundary: Option<Boundary>) -> Result<Outcome> {
        self.boundary = boundary;
        let (rpc, hub) = (self.rpc.clone(), self.hub.clone());
        let (fee, collateral) = (FEE.to_string(), COLLATERAL.to_string());
        let [grace, patience] = if self.server.is_some() { SERVER_GRACE } else { HUB_GRACE };
        self.ask(
            &[
                "hub",
                "deploy",
                "--rpc",
                &rpc,
                "--grace",
                grace,
                "--inclusion",
                "2",
                "--reorg",
                "1",
                "--token-life",
                "600",
                "--patience",
                patience,
                "--gas-price",
                "0",
                "--dust",
                "1",
                "--fee",
                &fee,
                "--on-fee",
                &fee,
                "--opening-fee",
                "0",
                "--collateral",
                &collateral,
                "--deposit",
                "1eth",
                "--dev-money",
                "100eth",
            ],
            Party::Hub,
        )?;
        self.start(Party::Hub, true)?;
        for party in [Party::Alice, Party::Bob] {
            // The hub may die while it is asked for its terms.
            loop {
                self.revive()?;
                if self.dir(party).join("channel.json").exists() {
                    break;
                }
                ensure!(Instant::now() < self.until, "no terms from the hub");
                self.ask(
                    &["channel", "init", "--hub", &hub, "--rpc", &rpc, "--dev-money", "1eth", "--attach-above", "1eth"],
                    party,
                )
                .ok();
            }
            self.start(party, true)?;
        }
        self.life()?;
        self.end()
    }

    fn life(&mut self) -> Result<()> {
        let open = |party: Party| {
            move |scenario: &Self| {
                Ok(scenario.status(party)?["onChain"] == "open"
                    && scenario.status(party)?["channel"]["current"] == true)
            }
        };
        let (deposit, collateral) = (DEPOSIT.to_string(), COLLATERAL.to_string());
        self.until("Alice opens", Party::Alice, &["channel", "open", "--deposit", &deposit], open(Party::Alice))?;
        self.until("Bob opens", Party::Bob, &["channel", "open", "--collateral", &collateral], open(Party::Bob))?;
        self.pay(PAYMENT, PAYMENT)?;
        let out = OUT.to_string();
        let booked = |scenario: &Self| {
            let status = scenario.status(Party::Alice)?;
            Ok(status["channel"]["underWay"] == true || is(&status["channel"]["clientOut"], OUT))
        };
        let executed = |scenario: &Self| Ok(is(&scenario.status(Party::Alice)?["channel"]["executedOut"], OUT));
        let withdraw = ["channel", "withdraw-hot", &out];
        self.until_unless("Alice takes some out", Party::Alice, &withdraw, booked, executed)?;
        // All that she has there: a second order of it would find nothing.
        let back = |scenario: &Self| {
            let status = scenario.status(Party::Alice)?;
            Ok(is(&status["channel"]["client"], DEPOSIT - PAYMENT - FEE) && is(&status["onChainBalance"], 0))
        };
        self.until("Alice puts it in again", Party::Alice, &["channel", "deposit", &out, "--from-balance"], back)?;
        self.pay_out()?;
        let token = self.vouch(METERED)?;
        self.collect(&token, PAYMENT + METERED)?;
        let token = self.promise(DECLINED)?;
        let gone = |scenario: &Self| Ok(scenario.status(Party::Bob)?["channel"]["earning"] == serde_json::json!([]));
        self.until("Bob declines", Party::Bob, &["channel", "collect", &token], gone)?;
        for party in [Party::Alice, Party::Bob] {
            let idle = move |scenario: &Self| {
                let channel = scenario.status(party)?["channel"].clone();
                Ok(channel["paying"] == serde_json::json!([])
                    && channel["earning"] == serde_json::json!([])
                    && channel["underWay"] == false)
            };
            self.until("everything is settled", party, &[], idle)?;
        }
        // A server is killed for one scenario at a time, and nobody else's commits are looked at.
        if self.server.is_some() {
            self.close(Party::Bob)?;
            return self.close(Party::Alice);
        }
        self.alice_cheats()?;
        let again = AGAIN.to_string();
        self.until("Alice opens again", Party::Alice, &["channel", "open", "--deposit", &again], open(Party::Alice))?;
        self.hub_cheats()?;
        self.close(Party::Alice)
    }

    /// Both agree that it is over.
    fn close(&mut self, party: Party) -> Result<()> {
        let what = format!("{}'s channel ends", party.name());
        self.until(&what, party, &["channel", "close", "--last"], is_closed(party))
    }

    /// Alice closes as if she had paid nobody since she last took money out, and with a payment under way that she will not settle; her daemon,
    /// which would, is halted meanwhile. The hub shows the newest state and what she vouched for.
    fn alice_cheats(&mut self) -> Result<()> {
        let token = self.vouch(METERED)?;
        self.halt(Party::Alice)?;
        self.collect(&token, PAYMENT + 2 * METERED)?;
        let cheat = Cheat::client(&self.dir(Party::Alice))?;
        cheat.closes_at_what_is_known()?;
        let token = serde_json::from_value(token.into())?;
        self.until("the hub answers", Party::Hub, &[], |_| cheat.is_answered(Some(token)))?;
        cheat.waits_for_the_end(0)?;
        self.until("the hub ends Alice's channel", Party::Hub, &[], |_| cheat.is_over())?;
        self.go_on(Party::Alice)?;
        self.until("Alice sees it", Party::Alice, &[], is_closed(Party::Alice))
    }

    /// The hub closes Bob's channel as if he had earned nothing, and is silent; he shows the newest state, and redeems what he was vouched for
    /// since. Alice settles that by what the contract says.
    fn hub_cheats(&mut self) -> Result<()> {
        let token = serde_json::from_value(self.vouch(REDEEMED)?.into())?;
        self.revive()?;
        self.halt(Party::Hub)?;
        let cheat = Cheat::hub(&self.dir(Party::Hub), &self.dir(Party::Bob))?;
        cheat.closes_at_what_is_known()?;
        let answered = |_: &Self| Ok(cheat.is_answered(None)? && cheat.redeems_until(token)? > 0);
        self.until("Bob answers and redeems", Party::Bob, &[], answered)?;
        cheat.waits_for_the_end(cheat.redeems_until(token)?)?;
        self.until("Bob ends his channel", Party::Bob, &[], |_| cheat.is_over())?;
        self.go_on(Party::Hub)?;
        self.until("Bob sees it", Party::Bob, &[], is_closed(Party::Bob))
    }

    /// Halts a process without its knowledge: what it does afterwards is still the same run of it.
    fn halt(&mut self, party: Party) -> Result<()> {
        self.halted = Some(party);
        self.signal(party, "STOP")
    }

    fn go_on(&mut self, party: Party) -> Result<()> {
        self.halted = None;
        self.signal(party, "CONT")
    }

    fn signal(&self, party: Party, name: &str) -> Result<()> {
        let child = self.daemons[party as usize].as_ref().context("it was never started")?;
        let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status()?;
        ensure!(sent.success(), "no signal {name} for the {}", party.name());
        Ok(())
    }

    /// Alice pays Bob's address on chain.
    fn pay_out(&mut self) -> Result<()> {
        let arrived = |scenario: &Self| Ok(is(&scenario.status(Party::Bob)?["onChainBalance"], PAID_OUT));
        let ordered = move |scenario: &Self| {
            let channel = scenario.status(Party::Alice)?["channel"].clone();
            Ok(channel["underWay"] == true || channel["paying"] != serde_json::json!([]))
        };
        let to = self.status(Party::Bob)?["address"].as_str().context("no address")?.to_owned();
        let pay = ["channel", "pay-out", &to, &PAID_OUT.to_string()];
        self.until_unless("Alice pays an address on chain", Party::Alice, &pay, ordered, arrived)
    }

    /// Alice pays Bob; done when he has `sum` in all.
    fn pay(&mut self, amount: u64, sum: u64) -> Result<()> {
        let asked = self.invoice(amount)?;
        let pay: Vec<&str> = asked.iter().map(String::as_str).collect();
        self.until("Bob is paid", Party::Alice, &pay, has(sum))
    }

    /// Alice promises Bob a METERED payment; its token.
    fn promise(&mut self, amount: u64) -> Result<String> {
        let mut asked = self.invoice(amount)?;
        asked.push("--metered".to_owned());
        let pay: Vec<&str> = asked.iter().map(String::as_str).collect();
        let count = |scenario: &Self| {
            anyhow::Ok(scenario.status(Party::Bob)?["channel"]["earning"].as_array().map_or(0, Vec::len))
        };
        self.until("Bob is promised", Party::Alice, &pay, |scenario| Ok(count(scenario)? == 1))?;
        Ok(self.status(Party::Bob)?["channel"]["earning"][0]["token"].as_str().context("no token")?.to_owned())
    }

    /// Alice vouches for all of a METERED payment to Bob; its token.
    fn vouch(&mut self, amount: u64) -> Result<String> {
        let token = self.promise(amount)?;
        let earned =
            move |scenario: &Self| Ok(is(&scenario.status(Party::Bob)?["channel"]["earning"][0]["earned"], amount));
        let voucher = ["channel", "voucher", &token, &amount.to_string()];
        self.until("Bob is vouched for", Party::Alice, &voucher, earned)?;
        Ok(token)
    }

    /// Bob takes what was vouched for; done when he has `sum` in all.
    fn collect(&mut self, token: &str, sum: u64) -> Result<()> {
        self.until("Bob collects", Party::Bob, &["channel", "collect", token], has(sum))
    }

    /// Bob asks for an amount; the order with which Alice pays it. The invoice serves one token: whatever of a killed order has come about, a
    /// second one does not pay again.
    fn invoice(&mut self, amount: u64) -> Result<Vec<String>> {
        let amount = amount.to_string();
        let mut asked = Value::Null;
        while asked.is_null() {
            self.revive()?;
            ensure!(Instant::now() < self.until, "no invoice");
            asked = self.ask(&["channel", "invoice", &amount], Party::Bob).unwrap_or_default();
        }
        let field = |name: &str| asked[name].as_str().with_context(|| format!("no {name}"));
        let order =
            ["channel", "pay", &amount, "--payee", field("payee")?, "--invoice", field("invoice")?, "--no-wait"];
        Ok(order.map(str::to_owned).to_vec())
    }

    /// What each of them has in the end.
    fn end(mut self) -> Result<Outcome> {
        // What comes after everything is settled.
        let (more, back) = if self.server.is_some() { (0, 0) } else { (METERED + REDEEMED, AGAIN) };
        let (paid, fees) = (PAYMENT + METERED + PAID_OUT + more, if more == 0 { 3 * FEE } else { 5 * FEE });
        for (party, due) in [(Party::Alice, DEPOSIT - paid - fees + back), (Party::Bob, paid)] {
            let has = self.status(party)?["onChainBalance"].clone();
            ensure!(is(&has, due), "{} ends with {has}, {due} are due", party.name());
        }
        self.revive()?;
        let commits = PARTIES.map(|party| {
            let path = self.dir.path().join(format!("{}.commits", party.name()));
            std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
        });
        Ok(Outcome { commits, hit: self.hit })
    }
}

/// Whether Bob has so much in his channel.
fn has(sum: u64) -> impl Fn(&Scenario) -> Result<bool> {
    move |scenario| Ok(is(&scenario.status(Party::Bob)?["channel"]["client"], sum))
}

/// Whether somebody sees no channel of theirs.
fn is_closed(party: Party) -> impl Fn(&Scenario) -> Result<bool> {
    move |scenario| Ok(scenario.status(party)?["onChain"] == "none")
}

/// Whether a value says this amount.
fn is(value: &Value, amount: u64) -> bool {
    value.as_str().is_some_and(|text| text.parse() == Ok(amount))
}

/// Reads lines until one is of this stage; the pipe is drained from then on.
fn stage(child: &mut Child, name: &str) -> Result<Value> {
    use std::io::{BufRead as _, BufReader};
    let mut reader = BufReader::new(child.stdout.take().context("no output")?);
    loop {
        let mut line = String::new();
        ensure!(reader.read_line(&mut line)? > 0, "it ended before it was {name}");
        let said: Value = serde_json::from_str(&line)?;
        if said["stage"] == name {
            std::thread::spawn(move || reader.lines().map_while(Result::ok).for_each(drop));
            return Ok(said);
        }
    }
}
