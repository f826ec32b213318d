//! A chain whose last blocks are replaced, and what somebody sees of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tarefa_channel::Address;
use tarefa_channel::chain::Chain as View;
use tarefa_channel::contract::{Call, Contract, Env, Owner, Redemption, RedemptionStatus, Row, Status};
use tarefa_channel::id::{Amount, ChannelId, Time, TokenId};
use tarefa_channel::message::{Opening, State, Token};
use tarefa_channel::rules::Every;

use super::{ALICE_CLIENT, ALICE_HUB, BOB_CLIENT, BOB_HUB, TERMS};
use crate::keys::{Key, SIGNER, TREASURY};
use crate::scenario::{ALICES, BOBS, CHAIN_ID, CONTRACT, channel};

/// A block, with everything as it is after it.
#[derive(Clone, Debug)]
struct Block {
    time: Time,
    contract: Arc<Contract<Every>>,
    openings: Arc<BTreeMap<Owner, State>>,
    calls: Vec<(Address, Call)>,
}

/// The chain.
#[derive(Clone, Debug)]
pub struct Chain {
    blocks: Vec<Block>,
    mempool: Vec<(Address, Call)>,
    /// Time of the newest block there ever was: replaced blocks do not turn it back.
    now: Time,
}

impl Chain {
    /// Both channels are open, finally.
    pub fn new() -> Self {
        let mut contract = Contract::new(CHAIN_ID, CONTRACT, TERMS, TREASURY, SIGNER, Every);
        let open = |client_in, hub_in| Row { status: Status::Open, client_in, hub_in, ..Row::default() };
        contract.rows.insert(ALICES, open(ALICE_CLIENT, ALICE_HUB));
        contract.rows.insert(BOBS, open(BOB_CLIENT, BOB_HUB));
        let now = Time(100);
        let block = Block { time: now, contract: Arc::new(contract), openings: Arc::default(), calls: vec![] };
        Self { blocks: vec![block], mempool: vec![], now }
    }

    pub fn now(&self) -> Time {
        self.now
    }

    fn last(&self) -> &Block {
        self.blocks.last().expect("the first one is never replaced")
    }

    pub fn contract(&self) -> &Contract<Every> {
        &self.last().contract
    }

    /// Sends a call, unless it waits already.
    pub fn send(&mut self, who: Address, call: Call) {
        if !self.mempool.iter().any(|(_, waiting)| *waiting == call) {
            self.mempool.push((who, call));
        }
    }

    /// The next second's block; how many calls went through.
    pub fn mine(&mut self) -> usize {
        self.now = self.now.after(1);
        let mut contract = Contract::clone(self.contract());
        let mut openings = BTreeMap::clone(&self.last().openings);
        let mut calls = vec![];
        let mut mined = 0;
        for (who, call) in std::mem::take(&mut self.mempool) {
            let keys = Key(who);
            if contract.call(&call, &Env { now: self.now, caller: who, keys: &keys }).is_ok() {
                mined += 1;
                if let Some((owner, state)) = shown(&call)
                    && contract.row(owner).enforced == state.hash()
                {
                    openings.insert(owner, state.clone());
                }
                calls.push((who, call));
            }
        }
        let (contract, openings) = (Arc::new(contract), Arc::new(openings));
        self.blocks.push(Block { time: self.now, contract, openings, calls });
        mined
    }

    /// Forgets some of the newest blocks that are not final; their calls wait again. How many.
    pub fn reorganise(&mut self, depth: u64) -> usize {
        let deepest = self.now.before(depth % (TERMS.reorg + 1));
        let mut forgotten = 0;
        while self.blocks.len() > 1 && self.last().time > deepest && self.last().time > self.now.before(TERMS.reorg) {
            let block = self.blocks.pop().expect("there are two");
            // Before those that came later.
            self.mempool.splice(0..0, block.calls);
            forgotten += 1;
        }
        forgotten
    }
}

fn shown(call: &Call) -> Option<(Owner, &State)> {
    match call {
        Call::Close { owner, signed: Some(signed) }
        | Call::Argue { owner, signed }
        | Call::ArgueRedemption { owner, signed, .. }
        | Call::AttachState { owner, signed } => Some((*owner, &signed.state)),
        Call::AttachToken(attach) => Some((attach.owner, &attach.state)),
        _ => None,
    }
}

/// What somebody sees of it.
pub struct Seen<'a> {
    pub chain: &'a Chain,
    pub tokens: &'a BTreeMap<TokenId, Token>,
    /// So many blocks behind: another replica's node.
    pub lag: usize,
}

impl Seen<'_> {
    fn newest(&self) -> &Block {
        let blocks = &self.chain.blocks;
        &blocks[(blocks.len() - 1).saturating_sub(self.lag)]
    }

    fn settled(&self) -> &Block {
        let until = self.newest().time.before(TERMS.reorg);
        let found = self.chain.blocks.iter().rev().find(|block| block.time <= until);
        found.unwrap_or(&self.chain.blocks[0])
    }
}

impl View for Seen<'_> {
    fn now(&self) -> Time {
        self.newest().time
    }

    fn final_time(&self) -> Time {
        self.settled().time
    }

    fn row(&self, owner: Owner) -> Row {
        self.newest().contract.row(owner)
    }

    fn final_row(&self, owner: Owner) -> Row {
        self.settled().contract.row(owner)
    }

    fn redemption(&self, token: TokenId) -> Option<Redemption> {
        self.newest().contract.redemptions.get(&token).copied()
    }

    fn final_redemption(&self, token: TokenId) -> Option<Redemption> {
        self.settled().contract.redemptions.get(&token).copied()
    }

    fn final_credited(&self, owner: Owner) -> Amount {
        let mine = self.tokens.values().filter(|token| token.payee_channel() == Some(channel(owner)));
        let credited = mine.filter_map(|token| {
            let found = self.final_redemption(token.id())?;
            (found.status == RedemptionStatus::Credited).then_some(found.amount.0)
        });
        Amount(credited.sum())
    }

    fn claim(&self, payer: ChannelId, token: TokenId) -> Amount {
        self.newest().contract.claims.get(&(payer, token)).copied().unwrap_or_default()
    }

    fn enforced(&self, owner: Owner) -> Option<Opening> {
        self.newest().openings.get(&owner).map(State::opening)
    }

    fn owner(&self, id: ChannelId) -> Option<Owner> {
        [ALICES, BOBS].into_iter().find(|owner| channel(*owner) == id)
    }

    fn epoch(&self, id: ChannelId) -> Option<u32> {
        self.owner(id).map(|_| 0)
    }

    fn is_fresh(&self) -> bool {
        true
    }

    fn trusted(&self, signer: Address) -> bool {
        self.newest().contract.signers.get(&signer) == Some(&None)
    }

    fn revoked_from(&self, signer: Address) -> Option<Time> {
        self.newest().contract.signers.get(&signer).copied().flatten()
    }
}
