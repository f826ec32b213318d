//! What is explored: who is honest, which payments there are, when the honest party leaves.

use std::sync::LazyLock;

use tarefa_channel::contract::Owner;
use tarefa_channel::eip712::Domain;
use tarefa_channel::id::{Amount, ChannelId, ChannelKey, Seq, Time, payee_address};
use tarefa_channel::message::{Token, TokenKind};
use tarefa_channel::rules::Rule;
use tarefa_channel::terms::Terms;
use tarefa_channel::{Address, B256};

use crate::keys::{ALICE, BOB, CAROL, VOUCHERS};
use crate::without::Without;

/// EIP-155 id of the checker's chain.
pub const CHAIN_ID: u64 = 31337;
/// Where its contract is.
pub const CONTRACT: Address = Address::repeat_byte(0xf0);
/// The only asset.
pub const NATIVE: Address = Address::ZERO;
/// What the payee reveals to be paid; its condition is the SHA-256 of it.
pub const KEY: B256 = B256::repeat_byte(0x4b);

/// Alice's channel.
pub const ALICES: Owner = Owner { client: ALICE, asset: NATIVE };
/// Bob's channel.
pub const BOBS: Owner = Owner { client: BOB, asset: NATIVE };

/// Who follows the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// The payer.
    Alice,
    /// The payee.
    Bob,
    /// The hub.
    Hub,
}

/// One exploration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// Who follows the protocol; the other two and everybody else collude.
    pub honest: Party,
    /// The rules that hold.
    pub rules: Without,
    /// Ticks for seconds.
    pub terms: Terms,
    /// When the honest party leaves.
    pub exit: Time,
    /// When every honest channel must be final.
    pub horizon: Time,
    /// What Alice pays with, in order; Alice detaches the first when it begins.
    pub tokens: Vec<Token>,
    /// METERED: the vouchers there are.
    pub amounts: Vec<Amount>,
    /// METERED: the last voucher has a condition.
    pub conditional: bool,
    /// What Alice takes out while the channel runs.
    pub withdrawal: Option<Amount>,
    /// Strangers deposit one unit on each side of the honest channel.
    pub strangers: bool,
    /// The hub may announce the revocation of its signer.
    pub revocation: bool,
    /// Rule 14 off: the honest party may lose what it stored last.
    pub crash: bool,
    /// The last state of Alice's channel may be proposed.
    pub last: bool,
    /// How many doubly-signed states Bob's channel has had before.
    pub history: u64,
    /// For how many ticks the honest party may be away; zero: never.
    pub offline: u64,
    /// Nobody but the honest party closes a channel or shows its states before: a random adversary would not wait.
    pub quiet: Time,
    /// The honest client does not answer the revocation of the signer behind its newest state: to see that a walk would find that.
    pub heedless: bool,
    /// Nothing but detach, attach, redeeming and closing: for an attack that needs no more, and would be lost among states otherwise.
    pub lean: bool,
    /// Answers and vouchers reach the honest client while what it has sent to the chain is not mined yet.
    pub meanwhile: bool,
    /// Bob can show Alice that he declines what she pays with, and she pays elsewhere once she may.
    pub declines: bool,
}

/// What Alice's side holds at first.
pub const ALICE_CLIENT: Amount = Amount(10);
/// What the hub's side of Alice's channel holds at first.
pub const ALICE_HUB: Amount = Amount(2);
/// What Bob's side holds at first.
pub const BOB_CLIENT: Amount = Amount(3);
/// What the hub's side of Bob's channel holds at first.
pub const BOB_HUB: Amount = Amount(6);
/// What a token is worth.
pub const VALUE: Amount = Amount(4);
/// What the hub takes for it.
pub const FEE: Amount = Amount(1);

/// The id of a channel of epoch 0.
#[must_use]
pub fn channel(owner: Owner) -> ChannelId {
    // Hashed once: a search asks millions of times.
    static BOTH: LazyLock<[ChannelId; 2]> = LazyLock::new(|| [ALICES, BOBS].map(first));
    match owner {
        ALICES => BOTH[0],
        BOBS => BOTH[1],
        other => first(other),
    }
}

fn first(Owner { client, asset }: Owner) -> ChannelId {
    ChannelKey { chain_id: CHAIN_ID, contract: CONTRACT, client, asset, epoch: 0 }.id()
}

/// The domain of everything signed.
#[must_use]
pub fn domain() -> &'static Domain {
    static DOMAIN: LazyLock<Domain> = LazyLock::new(|| Domain::new(CHAIN_ID, CONTRACT));
    &DOMAIN
}

/// One tick for a second: G = 2, i = 1, r = 0, and no patience: an answer that has not come with the tick does not come.
#[must_use]
pub fn terms() -> Terms {
    Terms {
        grace: 2,
        inclusion: 1,
        reorg: 0,
        max_token_life: 30,
        patience: 0,
        live_tokens: 8,
        fee: FEE,
        on_fee: FEE,
        dust: Amount(1),
        unsettled: Amount(100),
    }
}

/// A token of Alice, detached in the state with this number.
#[must_use]
pub fn token(kind: TokenKind, seq: u64, attach_by: u64, terms: &Terms) -> Token {
    let (redeem_by, claim_by) = terms.deadlines(Time(attach_by));
    Token {
        payer_channel: channel(ALICES),
        payer_seq: Seq::new(seq).expect("small"),
        index: 0,
        payee: if kind == TokenKind::On { payee_address(CAROL) } else { channel(BOBS).0 },
        kind,
        value: VALUE,
        fee: FEE,
        attach_by: Time(attach_by),
        redeem_by,
        claim_by,
        condition: B256::ZERO,
        voucher_key: if kind == TokenKind::Metered { VOUCHERS } else { Address::ZERO },
        invoice: B256::with_last_byte(u8::try_from(seq).expect("small")),
    }
}

impl Scenario {
    fn new(name: &str, honest: Party, kind: TokenKind) -> Self {
        let terms = terms();
        // attachBy 3, redeemBy 6, claimBy 9; who leaves at 8 is closed at 11 and final two ticks later.
        Self {
            name: name.to_owned(),
            honest,
            rules: Without(None),
            terms,
            exit: Time(8),
            horizon: Time(14),
            tokens: vec![token(kind, 1, 3, &terms)],
            amounts: vec![],
            conditional: false,
            withdrawal: None,
            strangers: false,
            revocation: false,
            crash: false,
            last: false,
            history: 0,
            offline: 0,
            quiet: Time(0),
            heedless: false,
            lean: false,
            meanwhile: false,
            declines: false,
        }
    }

    /// One plain payment.
    #[must_use]
    pub fn plain(honest: Party) -> Self {
        Self { last: honest == Party::Hub, ..Self::new("plain", honest, TokenKind::Off) }
    }

    /// One METERED payment: vouchers of 2 and 4, the last one against the key.
    #[must_use]
    pub fn metered(honest: Party) -> Self {
        let amounts = vec![Amount(2), VALUE];
        Self { amounts, conditional: true, ..Self::new("metered", honest, TokenKind::Metered) }
    }

    /// One ON token and one hot withdrawal.
    #[must_use]
    pub fn on(honest: Party) -> Self {
        Self { withdrawal: Some(Amount(3)), ..Self::new("ON and hot withdrawal", honest, TokenKind::On) }
    }

    /// Every schedule of one payment of each kind, for each party that has a part in it.
    #[must_use]
    pub fn payments() -> Vec<Self> {
        use Party::{Alice, Bob, Hub};
        let mut all: Vec<Self> = [Alice, Bob, Hub].into_iter().map(Self::plain).collect();
        all.extend([Alice, Bob, Hub].into_iter().map(Self::metered));
        all.extend([Alice, Hub].into_iter().map(Self::on));
        all
    }

    /// The scenario of every attack with the rule in force, where it is not one of [`Scenario::payments`]: what is found without the rule
    /// must not be found with it.
    #[must_use]
    pub fn controls() -> Vec<Self> {
        let payments = Self::payments();
        let mut all: Vec<Self> = vec![];
        for (label, scenario) in Self::attacks() {
            let name = format!("{}, as for rule {label}", scenario.name);
            // What is stored before it is sent is not lost in a crash: with rule 14 there is no such move.
            let control = Self { name, rules: Without(None), crash: false, ..scenario };
            let is_new = |other: &Self| control != Self { name: control.name.clone(), ..other.clone() };
            if payments.iter().chain(&all).all(is_new) {
                all.push(control);
            }
        }
        all
    }

    /// For every rule the smallest scenario in which the attack that it prevents can happen, with the rule off, under what the rule is
    /// called in the table; for a rule of two parts one for each.
    #[must_use]
    pub fn attacks() -> Vec<(String, Self)> {
        let each = |rule: Rule| {
            let name = format!("{rule:?}");
            let label = name.strip_prefix('R').filter(|number| number.parse::<u8>().is_ok()).unwrap_or(&name);
            match rule {
                Rule::R6 => vec![("6 (time)".to_owned(), Self::late()), ("6 (cover)".to_owned(), Self::attack(rule))],
                _ => vec![(label.to_owned(), Self::attack(rule))],
            }
        };
        Rule::ALL.into_iter().flat_map(each).collect()
    }

    /// Rule 6 is about time as well as cover: one token, which comes when it can no longer be redeemed.
    fn late() -> Self {
        Self { rules: Without(Some(Rule::R6)), ..Self::plain(Party::Bob) }
    }

    fn attack(rule: Rule) -> Self {
        use Party::{Alice, Bob, Hub};
        let scenario = match rule {
            Rule::R1 | Rule::R4 | Rule::R5 | Rule::R10 | Rule::R13 | Rule::R16 => Self::plain(Hub),
            Rule::R15 | Rule::Defence => Self { lean: true, last: false, ..Self::plain(Hub) },
            Rule::R2 => Self { strangers: true, ..Self::plain(Hub) },
            Rule::R3 | Rule::R6 => Self::plain(Bob),
            Rule::LateRaise => Self { conditional: false, ..Self::metered(Hub) },
            Rule::RaiseAtOnce => Self { conditional: false, meanwhile: true, ..Self::metered(Bob) },
            Rule::Elsewhere => Self { declines: true, ..Self::plain(Alice) },
            Rule::R7 => Self::metered(Alice),
            Rule::R8 => Self::metered(Bob),
            Rule::R17 => Self { amounts: vec![VALUE], ..Self::metered(Bob) },
            Rule::R9 => Self { conditional: false, ..Self::metered(Bob) },
            Rule::R11 => Self::on(Hub),
            Rule::R12 => Self { revocation: true, ..Self::plain(Bob) },
            Rule::R14 => Self { crash: true, ..Self::plain(Bob) },
            Rule::StaleClose => Self { last: false, ..Self::plain(Hub) },
            Rule::NoOpening => Self { history: 4, ..Self::plain(Bob) },
        };
        let mut scenario = Self { rules: Without(Some(rule)), ..scenario };
        match rule {
            // One deadline for all three, as the seed has it.
            Rule::R5 => {
                let only = Time(6);
                scenario.tokens[0] =
                    Token { redeem_by: only, claim_by: only, attach_by: only, ..scenario.tokens[0].clone() };
            }
            // Two tokens for a share that covers one, and time enough for both.
            Rule::R6 => {
                let first = token(TokenKind::Off, 1, 6, &scenario.terms);
                scenario.tokens = vec![first.clone(), Token { index: 1, ..first }];
                (scenario.exit, scenario.horizon) = (Time(11), Time(17));
            }
            // While the hub says nothing to the decline of one, the other one is redeemed and goes on being paid.
            Rule::RaiseAtOnce => {
                let first = token(TokenKind::Metered, 1, 8, &scenario.terms);
                scenario.tokens = vec![first, token(TokenKind::Metered, 2, 3, &scenario.terms)];
                scenario.tokens[1].value = Amount(2);
                (scenario.exit, scenario.horizon) = (Time(13), Time(19));
            }
            // Two that are attached and redeemed besides, small enough that the share would pay for one of them again.
            Rule::Defence => {
                let small = |seq| Token { value: Amount(2), ..token(TokenKind::Off, seq, 3, &scenario.terms) };
                scenario.tokens = vec![small(1), small(2)];
                (scenario.exit, scenario.horizon) = (Time(4), Time(12));
            }
            // Two states with one number, a token in each.
            Rule::R15 => scenario.tokens.push(Token {
                invoice: B256::with_last_byte(2),
                value: Amount(2),
                ..scenario.tokens[0].clone()
            }),
            // A second token in a state after the last one.
            Rule::R4 => scenario.tokens[0].payer_seq = Seq::new(2).expect("small"),
            _ => {}
        }
        scenario
    }

    /// Two payments at once, one of them METERED, with a hot withdrawal, strangers' deposits, a signer that may be revoked, and spells
    /// away from the chain as long as the protocol allows: too much for every schedule, so for a random walk.
    #[must_use]
    pub fn two(honest: Party) -> Self {
        let terms = Terms { grace: 6, max_token_life: 24, ..terms() };
        let mut tokens = vec![token(TokenKind::Off, 1, 5, &terms), token(TokenKind::Metered, 2, 8, &terms)];
        tokens[1].value = Amount(2);
        if honest == Party::Hub {
            // Which state detaches which is the adversary's choice, so there is one of each kind for the first three.
            tokens.push(token(TokenKind::Off, 3, 8, &terms));
            tokens.push(Token { value: Amount(2), ..token(TokenKind::Metered, 4, 8, &terms) });
            tokens.push(token(TokenKind::On, 2, 8, &terms));
            // One that leaves no time between its deadlines.
            let only = Time(8);
            tokens.push(Token { redeem_by: only, claim_by: only, ..token(TokenKind::Off, 1, 8, &terms) });
        }
        if honest == Party::Bob {
            // More than the hub's share covers.
            tokens.push(token(TokenKind::Off, 3, 6, &terms));
        }
        Self {
            terms,
            exit: Time(24),
            horizon: Time(60),
            tokens,
            amounts: vec![Amount(1), Amount(2)],
            conditional: honest != Party::Hub,
            withdrawal: Some(Amount(3)),
            strangers: true,
            revocation: honest != Party::Hub,
            offline: terms.offline_bound(),
            ..Self::new("two payments", honest, TokenKind::Off)
        }
    }

    /// The same for a client that stays until a revocation has taken effect: what only the revoked signer has signed counts no more.
    #[must_use]
    pub fn revoked(honest: Party) -> Self {
        let scenario = Self::two(honest);
        let effect = scenario.terms.revocation_delay();
        let quiet = Time(effect + 8);
        // It takes as long to end as in `two`.
        Self { name: "a revoked signer".to_owned(), quiet, exit: quiet.after(4), horizon: quiet.after(40), ..scenario }
    }

    /// The METERED token, if there is one.
    #[must_use]
    pub fn metered_token(&self) -> Option<&Token> {
        self.tokens.iter().find(|token| token.kind == TokenKind::Metered)
    }

    /// When Alice no longer begins with a token: exhaustively she begins at once.
    #[must_use]
    pub fn begin_by(&self, token: &Token) -> Time {
        if self.offline == 0 { Time(1) } else { token.attach_by }
    }

    /// This scenario with one rule off.
    #[must_use]
    pub fn without(self, rule: Rule) -> Self {
        Self { rules: Without(Some(rule)), ..self }
    }
}
