//! Where more payments wait than there is room for, a state waits a little for receipts that are on their way: one that ends all that was
//! under way and begins as many costs the client, the payee and the hub as much as one for the half of them. Payments that have once gone
//! together come back together, so that there is nothing to wait for any more.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use tarefa_channel::TokenId;
use tarefa_channel::message::Op;

use super::orders::Ordered;
use crate::order::ends;

/// The longest that a state waits, however long payments take: a payee that takes longer is busy with something else.
const LONGEST: Duration = Duration::from_secs(1);

/// After it was in vain nothing waits for so many times as long, and twice as long each time after: where payees take differently long, or the
/// way to the hub does, nothing is to be had.
const REST: u32 = 2;

/// So many times as long at most: what is lost is a hundredth then, and a hub that becomes busy is noticed.
const REST_MAX: u32 = 128;

/// Whether more payments wait than there is room for, with all that is wished for, while there is some, and nothing else waits.
pub fn is_crowded(orders: &VecDeque<Ordered>, wishes: &[Op], room: usize) -> bool {
    let pays: usize = orders.iter().map(Ordered::pays).sum();
    let only_pays = |ordered: &Ordered| !ordered.alone && ordered.pays() == ordered.orders.len();
    room > 0 && pays > room && orders.iter().all(only_pays) && wishes.iter().all(ends)
}

/// What the next state waits for.
#[derive(Debug, Default)]
pub struct Linger {
    /// Payments whose receipts are hoped for, and since when they are under way. Not those that were waited for in vain: a payee may be away,
    /// or deliver for hours.
    under_way: BTreeMap<TokenId, Instant>,
    /// When the last receipt came, and how long its payment took.
    last: Option<(Instant, Duration)>,
    /// How long a state waits, if one does.
    until: Option<Instant>,
    /// That it is over is still to be told.
    tells: bool,
    /// How many times as long as the last payment took nothing waits, after it was in vain.
    rest: u32,
    rests_until: Option<Instant>,
}

impl Linger {
    /// A payment is on its way.
    pub fn begins(&mut self, token: TokenId, now: Instant) {
        self.under_way.insert(token, now);
    }

    /// A receipt has come.
    pub fn arrives(&mut self, token: TokenId, now: Instant) {
        if let Some(begun) = self.under_way.remove(&token) {
            self.last = Some((now, now.saturating_duration_since(begun).min(LONGEST)));
        }
    }

    /// Only some are hoped for still.
    pub fn retain(&mut self, is_awaited: impl Fn(TokenId) -> bool) {
        self.under_way.retain(|token, _| is_awaited(*token));
    }

    /// Whether the next state waits: where there is a crowd, and from a receipt on at most as long as its payment took, by when all that began
    /// before should be back.
    pub fn waits(&mut self, is_crowded: bool, now: Instant) -> bool {
        let (true, Some((last, took))) = (is_crowded, self.last) else {
            self.until = None;
            return false;
        };
        let until = self.until.unwrap_or(last + took);
        let is_hopeful = !self.under_way.is_empty();
        if is_hopeful && now < until && self.rests_until.is_none_or(|rests| now >= rests) {
            (self.until, self.tells) = (Some(until), true);
            return true;
        }
        let has_waited = self.until.take().is_some();
        if has_waited && is_hopeful {
            self.under_way.clear();
            self.rest = (self.rest * 2).clamp(REST, REST_MAX);
            self.rests_until = Some(now + took * self.rest);
        } else if has_waited {
            self.rest = 0;
        }
        false
    }

    /// Is done once the state has waited long enough, and never where none waits.
    pub async fn is_over(&mut self) {
        match self.until {
            Some(until) if self.tells => tokio::time::sleep_until(until.into()).await,
            _ => std::future::pending().await,
        }
        self.tells = false;
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, B256};
    use tarefa_channel::Amount;
    use tarefa_channel::message::OpKind;

    use super::*;
    use crate::order::{Order, Pay};

    /// What a payment takes here.
    const TURN: Duration = Duration::from_millis(20);

    fn token(name: u8) -> TokenId {
        TokenId(B256::repeat_byte(name))
    }

    /// One payment has taken a turn, and others began in the meantime; with the time of its receipt.
    fn after_one<const N: usize>(others: [u8; N]) -> (Linger, Instant) {
        let (mut linger, begun) = (Linger::default(), Instant::now());
        linger.begins(token(0), begun);
        others.iter().for_each(|name| linger.begins(token(*name), begun + TURN / 2));
        linger.arrives(token(0), begun + TURN);
        (linger, begun + TURN)
    }

    fn queue<const N: usize>(requests: [Vec<Order>; N]) -> VecDeque<Ordered> {
        let until = Instant::now();
        requests.map(|orders| Ordered { orders, tell: None, alone: false, until }).into()
    }

    #[test]
    fn only_payments_without_room_are_a_crowd() {
        let pay = || Order::Pay(Pay::on(Address::ZERO, Amount(1), 60));
        let op = |kind| Op::of(kind, Amount(1));
        let mut orders = queue([vec![pay()], vec![pay(), pay()]]);
        let settle = op(OpKind::Settle);
        assert!(is_crowded(&orders, &[settle], 2));
        assert!(!is_crowded(&orders, &[settle], 3), "there is room for all of them");
        assert!(!is_crowded(&orders, &[], 0), "there is no room, so nothing could go");
        assert!(!is_crowded(&orders, &[settle, op(OpKind::Attach)], 2), "something else is wished for");
        assert!(!is_crowded(&orders, &[op(OpKind::In)], 2));
        orders[0].alone = true;
        assert!(!is_crowded(&orders, &[], 2), "this one goes by itself");
        let with_another = queue([vec![pay(), pay(), Order::Op(op(OpKind::OutClient))]]);
        assert!(!is_crowded(&with_another, &[], 1), "a withdrawal waits for no receipts");
        assert!(!is_crowded(&queue([]), &[settle], 1));
    }

    #[test]
    fn receipts_are_waited_for_as_long_as_a_payment_takes() {
        let (mut linger, came) = after_one([1, 2]);
        assert!(linger.waits(true, came));
        assert_eq!(linger.until, Some(came + TURN));
        linger.arrives(token(1), came + TURN / 2);
        assert!(linger.waits(true, came + TURN * 3 / 4), "one has come, and the other is hoped for");
        assert_eq!(linger.until, Some(came + TURN), "no longer for that");
        linger.arrives(token(2), came + TURN * 4 / 5);
        assert!(!linger.waits(true, came + TURN * 4 / 5), "all are back");
        assert_eq!((linger.until, linger.rests_until), (None, None));

        assert!(!Linger::default().waits(true, came), "nobody knows how long anything takes");
        assert!(!after_one([]).0.waits(true, came), "nothing is on its way");
        let (mut linger, came) = after_one([1]);
        assert!(!linger.waits(true, came + TURN), "it should be back");
        linger.retain(|_| false);
        assert!(!linger.waits(true, came), "and was declined, say");
    }

    #[test]
    fn what_takes_very_long_is_waited_for_a_second() {
        let (mut linger, begun) = (Linger::default(), Instant::now());
        [1, 2].iter().for_each(|name| linger.begins(token(*name), begun));
        let came = begun + LONGEST * 60;
        linger.arrives(token(1), came);
        assert!(linger.waits(true, came));
        assert_eq!(linger.until, Some(came + LONGEST));
    }

    #[test]
    fn what_was_waited_for_in_vain_is_not_waited_for_again_nor_anything_for_a_while() {
        let (mut linger, mut now) = after_one([1]);
        assert!(linger.waits(true, now));
        now += TURN;
        assert!(!linger.waits(true, now), "long enough");
        let mut fails = |linger: &mut Linger| {
            // Until it rests no more, counted in turns.
            for turns in 0.. {
                linger.begins(token(2), now);
                now += TURN;
                linger.begins(token(3), now);
                linger.arrives(token(2), now);
                if linger.waits(true, now) {
                    assert!(!linger.waits(true, now + TURN));
                    now += TURN;
                    return turns;
                }
            }
            unreachable!("it tries again")
        };
        let rests = [(); 8].map(|()| fails(&mut linger));
        assert_eq!(rests, [1, 3, 7, 15, 31, 63, 127, 127], "twice as long each time");

        now += TURN * REST_MAX;
        linger.begins(token(4), now - TURN);
        linger.begins(token(5), now);
        linger.arrives(token(4), now);
        assert!(linger.waits(true, now));
        linger.arrives(token(5), now);
        assert!(!linger.waits(true, now));
        assert_eq!(linger.rest, 0, "it was not in vain");
    }

    #[test]
    fn nothing_is_in_vain_where_the_crowd_has_gone() {
        let (mut linger, came) = after_one([1]);
        assert!(linger.waits(true, came));
        assert!(!linger.waits(false, came));
        assert_eq!(linger.until, None);
        assert!(!linger.waits(true, came + TURN));
        assert_eq!((linger.rests_until, linger.under_way.len()), (None, 1));
    }

    #[tokio::test]
    async fn that_it_is_over_is_told_once() {
        let is_told = async |linger: &mut Linger| tokio::time::timeout(TURN * 10, linger.is_over()).await.is_ok();
        assert!(!is_told(&mut Linger::default()).await, "nothing waits");
        let (mut linger, came) = after_one([1]);
        assert!(linger.waits(true, came));
        assert!(is_told(&mut linger).await && Instant::now() >= came + TURN);
        assert!(!is_told(&mut linger).await, "or the loop would turn without end where no state can be proposed");
        assert!(!linger.waits(true, came + TURN) && linger.rests_until.is_some(), "it was in vain all the same");
    }
}
