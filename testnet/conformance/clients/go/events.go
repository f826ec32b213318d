package main

import (
	"time"

	iotago "github.com/iotaledger/iota.go/v3"
	"github.com/iotaledger/iota.go/v3/nodeclient"
)

// An event that has not come after some milestones does not come.
const patience = 10 * time.Second

// next is the next event of a feed.
func next[T any](what string, feed <-chan *T) *T {
	select {
	case event := <-feed:
		return event
	case <-time.After(patience):
		check(false, "no event: %s", what)
		return nil
	}
}

// watch is what the judge listens to while it does everything else: over MQTT, with quality of service 2.
type watch struct {
	api    *nodeclient.EventAPIClient
	params *iotago.ProtocolParameters
	tagged <-chan *iotago.Block
	latest <-chan *nodeclient.MilestoneInfo
}

func subscribed[T any](feed <-chan *T, subscription *nodeclient.EventAPIClientSubscription) <-chan *T {
	must("subscribe", subscription.Error())
	return feed
}

func (j *judge) watch() *watch {
	api, err := j.node.EventAPI(j.ctx)
	must("event API", err)
	must("connect", api.Connect(j.ctx))
	return &watch{
		api:    api,
		params: j.params,
		tagged: subscribed(api.TaggedDataWithTagBlocks([]byte("judge"), j.params)),
		latest: subscribed(api.LatestMilestones()),
	}
}

// data expects the block with the tag that was posted.
func (w *watch) data(id iotago.BlockID) {
	block := next("tagged data", w.tagged)
	own, err := block.ID()
	must("id", err)
	check(own == id, "the event is about another block")
}

// milestones expects each of three once, in order.
func (w *watch) milestones() {
	first := next("milestone", w.latest)
	for offset := iotago.MilestoneIndex(1); offset <= 2; offset++ {
		milestone := next("milestone", w.latest)
		check(milestone.Index == first.Index+offset, "milestone %d after %d", milestone.Index, first.Index)
	}
}

// owner listens to what an address gets and spends.
type owner struct {
	created, spent <-chan *nodeclient.OutputResponse
}

func (w *watch) owner(address iotago.Address) *owner {
	hrp := w.params.Bech32HRP
	return &owner{
		created: subscribed(w.api.OutputsByUnlockConditionAndAddress(address, hrp, nodeclient.UnlockConditionAddress)),
		spent:   subscribed(w.api.SpentOutputsByUnlockConditionAndAddress(address, hrp, nodeclient.UnlockConditionAddress)),
	}
}

func (o *owner) got(amount uint64) {
	event := next("an output", o.created)
	output, err := event.Output()
	must("output", err)
	check(!event.Metadata.Spent && output.Deposit() == amount, "created %d, not %d", output.Deposit(), amount)
}

func (o *owner) gave(id iotago.OutputID) {
	event := next("a spent output", o.spent)
	check(event.Metadata.Spent && event.Metadata.TransactionID == hex0x(id[:iotago.TransactionIDLength]), "another output was spent")
}
