//! Orders become tokens that their payees can take.

use tarefa_channel::contract::Owner;

use super::*;

/// The terms that `tarefa hub deploy` proposes.
const TERMS: Terms = Terms {
    grace: 86_400,
    inclusion: 600,
    reorg: 900,
    max_token_life: 604_800,
    patience: 60,
    live_tokens: 8,
    fee: Amount(1),
    on_fee: Amount(2),
    dust: Amount(1),
    unsettled: Amount(1000),
};

#[test]
fn a_payee_has_the_time_that_the_payer_gives_whatever_the_margins() {
    let owner = Owner { client: Address::repeat_byte(1), asset: Address::ZERO };
    let client = Client::opened(owner, 0, ChannelId(B256::repeat_byte(2)), Amount(1000), Amount(0));
    let now = Time(1_000_000);
    for kind in [TokenKind::Off, TokenKind::Metered] {
        let payee = B256::repeat_byte(3);
        let pay = Pay { kind, payee, value: Amount(10), invoice: B256::ZERO, condition: B256::ZERO, lifetime: 300 };
        let built = build(&[Order::Pay(pay)], &client, &TERMS, now, &[5; 32]).expect("it fits");
        let token = &built.tokens[0];
        let late = now.after(299);
        assert!(late.after(TERMS.inclusion) < token.attach_by, "{kind:?}: it still counts after 299 s");
        // Before that a METERED token is not due by itself: `Client::wishes` looks so far ahead.
        let soon = late.after(TERMS.patience + TERMS.inclusion + 1);
        assert_eq!(TERMS.reaches(soon, token.attach_by), kind == TokenKind::Metered, "{kind:?}");
    }
}
