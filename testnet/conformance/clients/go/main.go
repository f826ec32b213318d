// The Go judge: iota.go v3, which shares no code with this project, builds, signs, serialises, posts and reads
// everything itself. The network asks for no proof of work, and its miner cannot mine for a score of 0.
// usage: judge NODE_URL FAUCET_URL
package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	iotago "github.com/iotaledger/iota.go/v3"
	"github.com/iotaledger/iota.go/v3/builder"
	"github.com/iotaledger/iota.go/v3/nodeclient"
)

// A whole run takes some ten milestones.
const timeout = 90 * time.Second

func must(what string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
		os.Exit(1)
	}
}

func check(holds bool, format string, arguments ...any) {
	if !holds {
		fmt.Fprintf(os.Stderr, format+"\n", arguments...)
		os.Exit(1)
	}
}

type judge struct {
	ctx    context.Context
	node   *nodeclient.Client
	params *iotago.ProtocolParameters
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	node := nodeclient.New(os.Args[1])
	info, err := node.Info(ctx)
	must("info", err)
	check(info.Status.IsHealthy, "the node is not healthy")
	j := judge{ctx, node, &info.Protocol}

	watch := j.watch()
	watch.data(j.data())
	watch.milestones()
	j.milestones()
	j.money(os.Args[2], watch)
	watch.api.Close()
	fmt.Println("go iota.go v3.0.0-rc.3: data, milestones, value transactions and events pass")
}

// posted submits a block and waits until a milestone references it.
func (j *judge) posted(block *iotago.Block) *nodeclient.BlockMetadataResponse {
	id, err := j.node.SubmitBlock(j.ctx, block, j.params)
	must("submit", err)
	own, err := block.ID()
	must("id", err)
	check(id == own, "the node calls block %s %s", own.ToHex(), id.ToHex())
	for {
		metadata, err := j.node.BlockMetadataByBlockID(j.ctx, id)
		must("metadata", err)
		if metadata.ReferencedByMilestoneIndex > 0 {
			return metadata
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (j *judge) data() iotago.BlockID {
	payload := &iotago.TaggedData{Tag: []byte("judge"), Data: []byte(time.Now().String())}
	block, err := builder.NewBlockBuilder().ProtocolVersion(j.params.Version).Payload(payload).
		Tips(j.ctx, j.node).Build()
	must("block", err)
	metadata := j.posted(block)
	check(metadata.LedgerInclusionState == "noTransaction", "data is %s", metadata.LedgerInclusionState)
	id, err := block.ID()
	must("id", err)
	back, err := j.node.BlockByBlockID(j.ctx, id, j.params)
	must("block back", err)
	data, is := back.Payload.(*iotago.TaggedData)
	check(is && bytes.Equal(data.Data, payload.Data), "the block came back with other data")
	_, err = j.node.BlockMetadataByBlockID(j.ctx, iotago.BlockID{1})
	check(err != nil, "an unknown block is known")
	return id
}

// milestones verifies the signatures of the newest ones against the keys of the first.
func (j *judge) milestones() {
	first, err := j.node.MilestoneByIndex(j.ctx, 1)
	must("milestone 1", err)
	keys := iotago.MilestonePublicKeySet{}
	for _, signature := range first.Signatures {
		keys[signature.(*iotago.Ed25519Signature).PublicKey] = struct{}{}
	}
	check(len(keys) == 2, "milestone 1 has %d keys", len(keys))
	info, err := j.node.Info(j.ctx)
	must("info", err)
	newest := info.Status.ConfirmedMilestone.Index
	previous := first.MustID()
	for index := iotago.MilestoneIndex(2); index <= newest; index++ {
		milestone, err := j.node.MilestoneByIndex(j.ctx, index)
		must("milestone", err)
		must("signatures", milestone.VerifySignatures(2, keys))
		check(milestone.PreviousMilestoneID == previous, "milestone %d does not follow the one before", index)
		previous = milestone.MustID()
		byID, err := j.node.MilestoneByID(j.ctx, previous)
		must("milestone by id", err)
		check(byID.Index == index, "milestone %s is %d", previous.ToHex(), byID.Index)
	}
}

// money is paid by the faucet, sent on, and cannot be sent twice.
func (j *judge) money(faucet string, watch *watch) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must("key", err)
	address := iotago.Ed25519AddressFromPubKey(public)
	text := address.Bech32(j.params.Bech32HRP)
	owner := watch.owner(&address)
	body, err := json.Marshal(map[string]string{"address": text})
	must("json", err)
	answer, err := http.Post(faucet+"/api/enqueue", "application/json", bytes.NewReader(body))
	must("faucet", err)
	check(answer.StatusCode == http.StatusAccepted, "the faucet answers %s", answer.Status)

	outputs := j.outputs(text)
	for len(outputs) == 0 {
		time.Sleep(200 * time.Millisecond)
		outputs = j.outputs(text)
	}
	input := outputs[0]
	output, err := j.node.OutputByID(j.ctx, input)
	must("output", err)
	owner.got(output.Deposit())
	signer := iotago.NewInMemoryAddressSigner(iotago.NewAddressKeysForEd25519Address(&address, private))
	const amount = 5_000_000
	send := func(note string) (*nodeclient.BlockMetadataResponse, iotago.TransactionID) {
		conditions := func(to iotago.Address) iotago.UnlockConditions {
			return iotago.UnlockConditions{&iotago.AddressUnlockCondition{Address: to}}
		}
		other := iotago.Ed25519Address{1, 2, 3}
		var id iotago.TransactionID
		block, err := builder.NewTransactionBuilder(j.params.NetworkID()).
			AddInput(&builder.TxInput{UnlockTarget: &address, InputID: input, Input: output}).
			AddOutput(&iotago.BasicOutput{Amount: amount, Conditions: conditions(&other)}).
			AddOutput(&iotago.BasicOutput{
				Amount:     output.Deposit() - amount,
				Conditions: conditions(&address),
				Features: iotago.Features{
					&iotago.SenderFeature{Address: &address},
					&iotago.TagFeature{Tag: []byte("judge")},
				},
			}).
			AddTaggedDataPayload(&iotago.TaggedData{Tag: []byte("note"), Data: []byte(note)}).
			BuildAndSwapToBlockBuilder(j.params, signer, func(tx *iotago.Transaction) {
				id, err = tx.ID()
				must("transaction id", err)
			}).
			Tips(j.ctx, j.node).Build()
		must("transaction", err)
		return j.posted(block), id
	}
	metadata, id := send("first")
	check(metadata.LedgerInclusionState == "included", "the payment is %s", metadata.LedgerInclusionState)
	owner.gave(input)
	owner.got(output.Deposit() - amount)
	included, err := j.node.TransactionIncludedBlock(j.ctx, id, j.params)
	must("included block", err)
	blockID, err := included.ID()
	must("id", err)
	check(blockID.ToHex() == metadata.BlockID, "the payment is in another block")
	// By id: this version of the client asks a wrong path for changes by index, on any node.
	milestone, err := j.node.MilestoneByIndex(j.ctx, metadata.ReferencedByMilestoneIndex)
	must("milestone", err)
	changes, err := j.node.MilestoneUTXOChangesByID(j.ctx, milestone.MustID())
	must("changes", err)
	check(len(changes.CreatedOutputs) == 2 && len(changes.ConsumedOutputs) == 1, "changes: %v", changes)
	check(changes.ConsumedOutputs[0] == input.ToHex(), "another output was consumed")
	spent, err := j.node.OutputMetadataByID(j.ctx, input)
	must("spent output", err)
	check(spent.Spent && spent.TransactionIDSpent == hex0x(id[:]), "the input is not spent by the payment")

	metadata, id = send("second")
	check(metadata.LedgerInclusionState == "conflicting", "the second payment is %s", metadata.LedgerInclusionState)
	_, err = j.node.TransactionIncludedBlock(j.ctx, id, j.params)
	check(err != nil, "a conflicting transaction has an included block")
	check(len(j.outputs(text)) == 1, "the indexer lists other outputs than the rest")
}

func (j *judge) outputs(address string) iotago.OutputIDs {
	indexer, err := j.node.Indexer(j.ctx)
	must("indexer", err)
	result, err := indexer.Outputs(j.ctx, &nodeclient.BasicOutputsQuery{AddressBech32: address})
	must("query", err)
	var ids iotago.OutputIDs
	for result.Next() {
		page, err := result.Response.Items.OutputIDs()
		must("output ids", err)
		ids = append(ids, page...)
	}
	must("query", result.Error)
	return ids
}

func hex0x(bytes []byte) string { return "0x" + hex.EncodeToString(bytes) }
