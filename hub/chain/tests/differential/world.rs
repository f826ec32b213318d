//! Both contracts side by side, and what is read from each.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::SolCall;
use tarefa_chain::abi::FulgurHub;
use tarefa_chain::{Books, Event, Failure, Key, decode, deployment, failure, transaction};
use tarefa_channel::contract::{Call, Contract, Env, Evidence, Owner, Redemption, RedemptionStatus, Row, Status};
use tarefa_channel::message::Token;
use tarefa_channel::rules::Every;
use tarefa_channel::sign::Signer as _;
use tarefa_channel::terms::Terms;
use tarefa_channel::{Amount, ChannelId, Seq, Time};
use tarefa_evm::{Config, DevChain, Request};

use crate::signing::Line;

pub const CHAIN: u64 = 31_337;
const START: u64 = 1_000_000;
pub const TERMS: Terms = Terms {
    grace: 100,
    inclusion: 5,
    reorg: 5,
    max_token_life: 300,
    patience: 10,
    live_tokens: 8,
    fee: Amount(3),
    on_fee: Amount(3),
    dust: Amount(1),
    unsettled: Amount(u128::MAX),
};

/// Numbers without end from a seed (SplitMix64).
pub struct Chance(u64);

impl Chance {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    pub fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    pub fn of<'a, T>(&mut self, some: &'a [T]) -> Option<&'a T> {
        (!some.is_empty()).then(|| &some[usize::try_from(self.below(some.len() as u64)).expect("small")])
    }
}

pub fn key(name: &str) -> Key {
    Key::new(keccak256(format!("key of {name}")).0).expect("a hash is a key")
}

pub struct World {
    pub chance: Chance,
    pub keys: BTreeMap<&'static str, Key>,
    pub evm: DevChain,
    pub address: Address,
    pub value: Contract,
    pub lines: BTreeMap<Owner, Line>,
    /// Every token ever detached; its place is its payee sequence.
    pub tokens: Vec<Token>,
    pub epochs: BTreeMap<ChannelId, (Owner, u32)>,
    /// What the events say.
    books: Books,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let names = ["alice", "bob", "carol", "hub", "second", "treasury", "vouchers"];
        let keys: BTreeMap<&str, Key> = names.into_iter().map(|name| (name, key(name))).collect();
        let funded = keys.values().map(|key| (key.address(), U256::from(1_u128 << 100))).collect();
        let mut evm = DevChain::new(Config { chain_id: CHAIN, genesis: START, base_fee: 7, funded });
        let (treasury, signer) = (keys["treasury"].address(), keys["hub"].address());
        let delay = TERMS.revocation_delay();
        let code = deployment(treasury, signer, TERMS.grace, delay, vec![]);
        let deploy = request(treasury, None, U256::ZERO, code);
        let receipt = evm.execute(deploy, START).expect("a deployment can be tried");
        assert!(receipt.success, "the contract deploys");
        let address = receipt.created.expect("a deployment makes a contract");
        let value = Contract::new(CHAIN, address, TERMS, treasury, signer, Every);
        let (lines, tokens, epochs) = (BTreeMap::new(), vec![], BTreeMap::new());
        let mut books = Books::default();
        for event in receipt.logs.iter().filter_map(|log| decode(log).expect("the contract's")) {
            books.apply(&event, Time(START)).expect("a first event");
        }
        let mut world = Self { chance: Chance(seed), keys, evm, address, value, lines, tokens, epochs, books };
        world.both(treasury, &Call::HubDeposit { asset: Address::ZERO, amount: Amount(100_000) }).expect("alike");
        world
    }

    pub fn owner(&self, name: &str) -> Owner {
        Owner { client: self.keys[name].address(), asset: Address::ZERO }
    }

    pub fn now(&self) -> Time {
        Time(self.evm.head().time)
    }

    pub fn id(&self, owner: Owner) -> ChannelId {
        self.value.channel_id(owner, self.value.row(owner).epoch)
    }

    /// Asks both, compares answers and everything stored, and gives the answer: `ok`, or the refusal's name.
    pub fn both(&mut self, caller: Address, call: &Call) -> Result<String, String> {
        let wait = if self.chance.one_in(3) { self.chance.below(60) } else { 1 };
        let sent = transaction(call).expect("a call of the contract");
        let request = request(caller, Some(self.address), sent.value, sent.input);
        let receipt = self.evm.execute(request, self.evm.head().time + wait).map_err(|error| error.to_string())?;
        let now = self.now();
        let before = self.lines.keys().map(|owner| (*owner, self.id(*owner))).collect::<Vec<_>>();
        let keys = &self.keys["hub"];
        let answer = self.value.call(call, &Env { now, caller, keys });
        let said = if receipt.success { Ok(()) } else { Err(failure(&receipt.output)) };
        let alike = match (&answer, &said) {
            (Ok(()), Ok(())) => true,
            (Err(revert), Err(Failure::Contract(found))) => revert == found,
            _ => false,
        };
        if !alike {
            return Err(format!("the value says {answer:?}, the Solidity {said:?}"));
        }
        for log in &receipt.logs {
            let event = decode(log).map_err(|error| error.to_string())?.ok_or("an event of no channel")?;
            self.check_event(&event, call)?;
            self.books.apply(&event, now).map_err(|unfit| unfit.to_string())?;
        }
        for (owner, id) in before {
            // A channel that ended and the epoch after it are two.
            if self.id(owner) != id {
                self.lines.remove(&owner);
            }
        }
        if let (Call::Subscribe { offer, .. }, Ok(())) = (call, &answer) {
            let owner = Owner { client: offer.client, asset: offer.asset };
            self.epochs.insert(self.id(owner), (owner, offer.epoch));
            self.begin_line(owner);
        }
        self.compare()?;
        Ok(answer.map_or_else(|revert| format!("{revert:?}"), |()| "ok".to_owned()))
    }

    fn check_event(&self, event: &Event, call: &Call) -> Result<(), String> {
        if let Event::RedemptionStarted { preimage, .. } | Event::Claimed { preimage, .. } = event
            && *preimage != revealed(call)
        {
            return Err(format!("the event tells {preimage}, {} was shown", revealed(call)));
        }
        if let Event::Enforced { channel, seq, opening } = event {
            let (owner, _) = self.epochs.get(channel).ok_or("a state of no channel is enforced")?;
            let row = self.value.row(*owner);
            if row.seq == *seq && row.enforced != opening.hash(*channel, *seq) {
                return Err("the event shows another state than the enforced one".to_owned());
            }
        }
        Ok(())
    }

    fn read<C: SolCall>(&mut self, call: &C) -> C::Return {
        let input = Bytes::from(call.abi_encode());
        let asked = request(Address::ZERO, Some(self.address), U256::ZERO, input);
        let now = self.evm.head().time;
        let outcome = self.evm.call(&asked, now).expect("a view can be tried");
        C::abi_decode_returns(&outcome.output).expect("a view answers")
    }

    fn compare(&mut self) -> Result<(), String> {
        for name in ["alice", "bob"] {
            let Owner { client, asset } = self.owner(name);
            let row = self.value.row(self.owner(name));
            let found = self.read(&FulgurHub::channelOfCall { client, asset });
            let found = Row {
                closes_at: Time(found.closesAt.to::<u64>()),
                seq: Seq::new(found.seq.to::<u64>()).expect("48 bits"),
                status: [Status::None, Status::Open, Status::Closing][usize::from(found.status)],
                epoch: u32::from(found.epoch),
                client_in: Amount(found.clientIn),
                client_out: Amount(found.clientOut),
                hub_in: Amount(found.hubIn),
                hub_out: Amount(found.hubOut),
                on_out: Amount(found.onOut),
                enforced: tarefa_channel::id::StateHash(found.enforced),
                redeeming: u32::from(found.redeeming),
            };
            if row != found {
                return Err(format!("{name}'s row: the value has {row:?}, the Solidity {found:?}"));
            }
            let told = self.books.row(self.owner(name));
            if row != told {
                return Err(format!("{name}'s row: the value has {row:?}, the events say {told:?}"));
            }
        }
        for name in ["alice", "bob", "carol", "treasury"] {
            let (party, asset) = (self.keys[name].address(), Address::ZERO);
            let found = self.read(&FulgurHub::balanceOfCall { party, asset });
            if self.value.balance(party, asset).0 != found {
                return Err(format!("{name}'s balance: the Solidity has {found}"));
            }
        }
        for token in self.tokens.clone().iter().rev().take(8) {
            self.compare_token(token)?;
        }
        let held = self.evm.balance(self.address);
        let owed = self.value.holdings(Address::ZERO);
        if held == U256::from(owed) { Ok(()) } else { Err(format!("the contract holds {held} and owes {owed}")) }
    }

    fn compare_token(&mut self, token: &Token) -> Result<(), String> {
        let id = token.id();
        let found = self.read(&FulgurHub::redemptionOfCall { payee: token.payee, token: id.0 });
        let kept = self.value.redemptions.get(&id).filter(|redemption| redemption.payee == token.payee);
        let status = kept.map_or(0, |redemption| match redemption.status {
            RedemptionStatus::Pending => 1,
            RedemptionStatus::Credited => 2,
            RedemptionStatus::Void => 3,
            RedemptionStatus::Executed => 4,
        });
        let same = kept.is_none_or(|kept| {
            kept.amount.0 == found.amount
                && kept.credit_at.0 == found.creditAt.to::<u64>()
                && kept.payee_seq.get() == found.payeeSeq.to::<u64>()
        });
        if found.status != status || !same {
            return Err(format!("a redemption: the value has {kept:?}, the Solidity status {}", found.status));
        }
        // Events do not show the payee sequence of an ON token, which is nobody's.
        let told = self.books.redemption(id);
        let kept = kept.map(|kept| match kept.status {
            RedemptionStatus::Executed => Redemption { payee_seq: Seq::ZERO, ..*kept },
            _ => *kept,
        });
        if told != kept {
            return Err(format!("a redemption: the value has {kept:?}, the events say {told:?}"));
        }
        let channel = token.payer_channel;
        let claim = self.value.claims.get(&(channel, id)).copied().unwrap_or_default();
        let found = self.read(&FulgurHub::claimOfCall { channel: channel.0, token: id.0 });
        let told = self.books.claim(channel, id);
        let alike = claim.0 == found && claim == told;
        if alike { Ok(()) } else { Err(format!("a claim: the value has {claim}, the Solidity {found}, events {told}")) }
    }
}

pub fn request(from: Address, to: Option<Address>, value: U256, input: Bytes) -> Request {
    Request { from, to, value, input, gas: 10_000_000, gas_price: None, nonce: None }
}

pub fn word(number: u64) -> B256 {
    B256::from(U256::from(number))
}

/// What a call shows to meet a condition; zero where there is none.
fn revealed(call: &Call) -> B256 {
    let of = |condition: B256, preimage: B256| if condition.is_zero() { B256::ZERO } else { preimage };
    match call {
        Call::Redeem(redeem) => {
            let condition = redeem.voucher.map_or(redeem.token.condition, |(voucher, _)| voucher.condition);
            of(condition, redeem.preimage)
        }
        Call::Resolve { token, evidence: Evidence::Receipt { preimage, .. }, .. } => of(token.condition, *preimage),
        Call::Resolve { evidence: Evidence::Voucher { voucher, preimage, .. }, .. } => of(voucher.condition, *preimage),
        _ => B256::ZERO,
    }
}
