//! What goes into the next state, of what is ordered and wished for: whose turn it is, and for how many payments there is room.

use std::collections::{BTreeSet, VecDeque};

use alloy_primitives::B256;
use tarefa_channel::message::{Op, OpKind};

use super::orders::{ORDERED, Ordered};
use crate::order::{Order, ends};

/// Whether it attaches a token.
pub fn attaches(op: &Op) -> bool {
    op.kind == OpKind::Attach
}

/// What goes into the next state; the orders in it are taken out of those that wait. `attached`: the last state attached something.
/// `room`: payments that the hub would let the state begin, with all that is wished for in it.
pub fn choose(orders: &mut VecDeque<Ordered>, wishes: Vec<Op>, attached: bool, room: usize) -> (Vec<Op>, Vec<Ordered>) {
    // What attaches is kept where the hub refuses it: an order in it would be refused with it, and could still be carried out.
    if !orders.is_empty() && wishes.iter().any(attaches) && !attached {
        return (unmixed(wishes, false), vec![]);
    }
    let mut taken = take(orders, &wishes, room);
    // An order that was refused, or that is kept where it is, goes by itself, after what the channel needs: orders in vain hold up nothing.
    if let Some(first) = taken.first()
        && first.alone
        && !wishes.is_empty()
    {
        // Where there is always something to attach it has its turn; but the end comes after everything.
        if wishes.iter().all(attaches) && !first.orders.iter().any(Order::is_kept) {
            return (vec![], taken);
        }
        taken.drain(..).rev().for_each(|ordered| orders.push_front(ordered));
    }
    if taken.is_empty() {
        return (unmixed(wishes, attached), taken);
    }
    (wishes.into_iter().filter(|wish| !attaches(wish)).collect(), taken)
}

/// The next of what is wished for. A state that attaches is kept where the hub refuses it, and closes the channel if there is something in it
/// that only the hub can do: what else is wished for goes into the one behind it, also where there is always something to attach.
fn unmixed(mut wishes: Vec<Op>, attached: bool) -> Vec<Op> {
    let others = wishes.iter().any(|wish| !wish.kind.may_be_kept());
    if others && attached {
        wishes.retain(|wish| !attaches(wish));
    } else if wishes.iter().any(attaches) {
        wishes.retain(|wish| wish.kind.may_be_kept());
    }
    wishes
}

/// Orders of the next state: as many as fit, with so many payments among them; or one that goes alone. Payments wait behind the first for
/// which there is no room, or many would never have any; what pays nothing does not, nor what pays only for the room that it makes itself.
fn take(orders: &mut VecDeque<Ordered>, wishes: &[Op], mut room: usize) -> Vec<Ordered> {
    let (mut taken, mut waiting, mut ops) = (vec![], vec![], 0);
    let mut ended: BTreeSet<B256> = wishes.iter().filter(|wish| ends(wish)).map(|wish| wish.token).collect();
    while let Some(ordered) = orders.front() {
        let (pays, alone) = (ordered.pays(), ordered.alone);
        let own: BTreeSet<B256> = ordered.ends().filter(|token| !ended.contains(token)).collect();
        let fits = pays <= room + own.len();
        if fits {
            ops += ordered.orders.len();
        }
        if ops > ORDERED || alone && fits && !taken.is_empty() {
            break;
        }
        room = if fits && waiting.is_empty() { room + own.len() - pays } else { 0 };
        if fits {
            ended.extend(own);
        }
        let into = if fits { &mut taken } else { &mut waiting };
        into.extend(orders.pop_front());
        if alone && fits {
            break;
        }
    }
    waiting.into_iter().rev().for_each(|ordered| orders.push_front(ordered));
    taken
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use alloy_primitives::Address;
    use tarefa_channel::{Amount, TokenId};

    use super::*;
    use crate::order::Pay;

    fn of(kind: OpKind) -> Op {
        Op::of(kind, Amount(1))
    }

    fn settles(token: u8) -> Op {
        Op::on(OpKind::Settle, TokenId(B256::repeat_byte(token)), Amount(1))
    }

    fn pay() -> Order {
        Order::Pay(Pay::on(Address::ZERO, Amount(1), 60))
    }

    /// These orders, each of what is in one request.
    fn queue<const N: usize>(requests: [Vec<Order>; N]) -> VecDeque<Ordered> {
        let until = Instant::now();
        requests.map(|orders| Ordered { orders, tell: None, alone: false, until }).into()
    }

    fn orders(of: impl IntoIterator<Item = Ordered>) -> Vec<Vec<Order>> {
        of.into_iter().map(|ordered| ordered.orders).collect()
    }

    #[test]
    fn what_attaches_goes_with_nothing_that_only_the_hub_can_do() {
        let others = vec![of(OpKind::In), of(OpKind::Settle), of(OpKind::Refund), of(OpKind::Decline)];
        let with = [others.clone(), vec![of(OpKind::Attach)]].concat();
        assert_eq!(unmixed(with.clone(), false), [of(OpKind::Settle), of(OpKind::Decline), of(OpKind::Attach)]);
        assert_eq!(unmixed(with, true), others, "and has its turn where there is always something to attach");
        assert_eq!(unmixed(others.clone(), false), others);
        let kept = vec![of(OpKind::Settle), of(OpKind::Attach)];
        assert_eq!(unmixed(kept.clone(), true), kept, "nothing else waits");
    }

    #[test]
    fn where_there_is_always_something_to_attach_every_other_state_has_what_else_waits() {
        let (wishes, attach) = (vec![of(OpKind::In), of(OpKind::Attach)], vec![of(OpKind::Attach)]);
        let nothing = &mut VecDeque::new();
        assert_eq!(choose(nothing, wishes.clone(), false, 8).0, attach);
        assert_eq!(choose(nothing, wishes.clone(), true, 8).0, [of(OpKind::In)]);

        let waiting = &mut queue([vec![pay()]]);
        let (chosen, taken) = choose(waiting, wishes.clone(), false, 8);
        assert_eq!((chosen, taken.len(), waiting.len()), (attach.clone(), 0, 1));
        let (chosen, taken) = choose(waiting, wishes.clone(), true, 8);
        assert_eq!((chosen, orders(taken), waiting.len()), (vec![of(OpKind::In)], vec![vec![pay()]], 0));

        // One that goes by itself waits for what the channel needs, but not for what there always is.
        let waiting = &mut queue([vec![pay()], vec![pay()]]);
        waiting[0].alone = true;
        let (chosen, taken) = choose(waiting, wishes, true, 8);
        assert_eq!((chosen, taken.len(), waiting.len()), (vec![of(OpKind::In)], 0, 2));
        assert_eq!(choose(waiting, attach.clone(), false, 8).0, attach);
        let (chosen, taken) = choose(waiting, attach.clone(), true, 8);
        assert_eq!((chosen, orders(taken), waiting.len()), (vec![], vec![vec![pay()]], 1));

        // But the end comes after everything.
        let waiting = &mut queue([vec![Order::Last]]);
        waiting[0].alone = true;
        let (chosen, taken) = choose(waiting, attach.clone(), true, 8);
        assert_eq!((chosen, taken.len()), (attach, 0));
        assert_eq!(orders(choose(waiting, vec![], true, 8).1), [vec![Order::Last]]);
    }

    #[test]
    fn no_payment_overtakes_several_that_wait_for_room() {
        let withdrawal = || vec![Order::Op(of(OpKind::OutClient))];
        // It ends more than it pays; what is over is not for those behind.
        let instead = || vec![Order::Op(settles(1)), Order::Op(settles(2)), pay()];
        let several = || vec![pay(), pay()];
        let waiting = &mut queue([vec![pay()], several(), vec![pay()], withdrawal(), instead(), vec![pay()]]);
        let (_, taken) = choose(waiting, vec![], false, 2);
        assert_eq!(orders(taken), [vec![pay()], withdrawal(), instead()], "what needs no room waits for none");
        let (_, taken) = choose(waiting, vec![], false, 1);
        assert_eq!((taken.len(), waiting.len()), (0, 3), "the several are the first still");
        let (_, taken) = choose(waiting, vec![], false, 3);
        assert_eq!(orders(taken), [several(), vec![pay()]]);
        assert_eq!(orders(std::mem::take(waiting)), [vec![pay()]]);
    }

    #[test]
    fn a_token_that_ends_makes_room_once() {
        let instead = || vec![Order::Op(settles(1)), pay()];
        let (_, taken) = choose(&mut queue([instead(), instead()]), vec![], false, 0);
        assert_eq!(orders(taken), [instead()], "not for each that names it");
        // `room` counts what the wishes end already.
        let (_, taken) = choose(&mut queue([instead()]), vec![settles(1)], false, 0);
        assert_eq!(orders(taken), Vec::<Vec<Order>>::new());
        let (_, taken) = choose(&mut queue([instead()]), vec![settles(2)], false, 0);
        assert_eq!(orders(taken), [instead()], "another one's room is its own");
    }

    #[test]
    fn a_state_has_as_many_orders_as_fit_and_those_that_go_alone_have_one() {
        let waiting = &mut (0..=ORDERED).flat_map(|_| queue([vec![pay()]])).collect();
        let (_, taken) = choose(waiting, vec![], false, usize::MAX);
        assert_eq!((taken.len(), waiting.len()), (ORDERED, 1));
        let waiting = &mut queue([vec![pay()], vec![pay()], vec![pay()]]);
        waiting[1].alone = true;
        let mut left = vec![];
        while !waiting.is_empty() {
            let (_, taken) = choose(waiting, vec![], false, 8);
            left.push((taken.len(), waiting.len()));
        }
        assert_eq!(left, [(1, 2), (1, 1), (1, 0)]);
    }
}
