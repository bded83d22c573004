package kv

import (
	"encoding/binary"
	"strconv"

	"kvd/kv/internal/arena"
	"kvd/kv/internal/keyspace"
	"kvd/kv/internal/tree"
)

// A collection is one block, or trees. Of trees the entry has the head:
//
//	number of the bigTree, 4 bytes, 0 if the nodes are in the table's heap
//	4 bytes that are zero
//	the roots, tree.RootSize bytes each, as many as shapes has for the type
//	the tail, tailSizes bytes: what the type wants to remember besides
//
// What a cut, or a forked child, needs to walk a collection is all there.
const (
	headFixed = 8
	maxTrees  = 5
	maxTail   = 96
	maxHead   = headFixed + maxTrees*tree.RootSize + maxTail
)

// shapes are the trees of each type.
var shapes = [...][]tree.Shape{
	TypeString: {{Value: -1}},
	TypeList:   {{Value: -1}},
	TypeSet:    {{Keyed: true}},
	TypeZset:   {{Keyed: true, Value: 8}, {Keyed: true}},
	TypeHash:   {{Keyed: true, Value: -1}, {Keyed: true}},
	TypeStream: {{Keyed: true, Value: -1}, {Keyed: true, Value: -1}, {Keyed: true, Value: -1}, {Keyed: true, Value: 20}, {Keyed: true}},
}

// tailSizes are the lengths of the tails, in bytes.
var tailSizes = [...]int{TypeString: 8, TypeList: 0, TypeSet: 0, TypeZset: 0, TypeHash: 8, TypeStream: maxTail}

// hasTrees tells whether a value of that type and encoding is a head.
func hasTrees(typ Type, enc Encoding) bool {
	return keyspace.HasTrees(keyspace.Kind(uint8(typ), uint8(enc)))
}

func headSize(typ Type) int { return headFixed + len(shapes[typ])*tree.RootSize + tailSizes[typ] }

func headID(head []byte) uint32 { return binary.LittleEndian.Uint32(head) }

func headRoot(head []byte, i int) tree.Root { return tree.ReadRoot(head[headFixed+i*tree.RootSize:]) }

func setHeadRoot(head []byte, i int, r tree.Root) { r.Put(head[headFixed+i*tree.RootSize:]) }

func headTail(head []byte, typ Type) []byte { return head[headFixed+len(shapes[typ])*tree.RootSize:] }

// coll is a collection at one key of a Tx, for as long as the key's shard is locked and
// nobody else changes the key. It is a value for the stack.
type coll struct {
	tx       *Tx
	sh       *shard
	t        *keyspace.Table // nil if the database has none in the shard
	db       int
	key      []byte
	h        uint64
	typ      Type
	enc      Encoding
	exists   bool
	treed    bool // it is trees: roots are open
	expireAt int64
	value    []byte // the one block, borrowed
	big      *bigTree
	id       uint32
	own      *owner // nil where the entry may be written to
	roots    [maxTrees]tree.Tree
	tailBuf  [maxTail]byte
}

// open looks a collection up and notes that it was used. c.exists tells whether there is
// one; ErrWrongType says that the key holds something else.
func (tx *Tx) open(c *coll, db int, key []byte, typ Type) error {
	t, h, p, ok := tx.find(db, key)
	c.tx, c.sh, c.t, c.db, c.key, c.h, c.typ = tx, tx.shard(h), t, db, key, h, typ
	if !ok {
		return nil
	}
	t.Touch(p, tx.seconds())
	return c.read(p)
}

// read reads the entry at p.
func (c *coll) read(p keyspace.Pos) error {
	var e keyspace.Entry
	c.t.Read(p, &e)
	if Type(e.Type()) != c.typ {
		return ErrWrongType
	}
	c.exists, c.enc, c.expireAt, c.value = true, Encoding(e.Encoding()), e.ExpireAt, e.Value
	if hasTrees(c.typ, c.enc) {
		if c.typ != TypeString {
			c.enc = EncTree
		}
		c.openTrees(e.Value)
		c.value = nil
	}
	return nil
}

// openTrees opens the trees of a head.
func (c *coll) openTrees(head []byte) {
	c.treed, c.id = true, headID(head)
	if c.own = nil; !c.sh.guard.Mode.Overwrites() {
		c.own = &owner{tx: c.tx, place: place{c.sh, c.t, c.db, c.h, c.key}}
	}
	space := c.space()
	for i := range shapes[c.typ] {
		c.roots[i] = tree.Open(space, shapes[c.typ][i], headRoot(head, i))
	}
	copy(c.tailBuf[:], headTail(head, c.typ))
}

// space returns where the trees' nodes are.
func (c *coll) space() (sp tree.Space) {
	if c.own != nil {
		sp.Owner = c.own
	}
	if c.id == 0 {
		sp.Heap, sp.Guard = c.t.Nodes(), &c.sh.guard
		return sp
	}
	c.big = c.sh.bigs.of[c.db][c.id]
	c.big.enter(c.tx.s, c.sh)
	sp.Heap, sp.Guard = c.big.heap, &c.big.guard
	return sp
}

// owner has the entry of a collection copied before its trees are changed, where a cut may
// protect it: when they have been changed there is no way back, and the new roots must be saved.
type owner struct {
	place
	tx    *Tx
	ready bool
}

// Ready makes sure that save finds an entry that it may write to, and needs no memory.
func (o *owner) Ready() error {
	if o.ready {
		return nil
	}
	p, ok := o.t.Lookup(o.h, o.key)
	if !ok {
		return nil
	}
	var e keyspace.Entry
	o.t.Read(p, &e)
	err := o.t.Rewrite(o.h, p, e.Kind, e.Value, o.tx.seconds())
	o.tx.s.publish(o.sh, o.db, o.t) // the index may have grown even so
	o.ready = err == nil
	return storeError(err)
}

// ready is Ready of the owner, if the collection needs one.
func (c *coll) ready() error {
	if c.own == nil {
		return nil
	}
	return c.own.Ready()
}

// copies tells whether nodes of the trees are copied before they are changed. Then a change of several trees
// is made in such an order that only the first steps may find no memory: after a Put of the same value,
// neither another Put of a value as long nor a Delete of that record needs any.
func (c *coll) copies() bool {
	if c.big != nil {
		return c.big.guard.Copies()
	}
	return c.sh.guard.Copies()
}

// isTree tells whether the collection is trees.
func (c *coll) isTree() bool { return c.treed }

// packed returns the one block of a collection that is one, borrowed; nil otherwise.
func (c *coll) packed() []byte { return c.value }

// tree returns one of the trees. After changes to it save must be called.
func (c *coll) tree(i int) *tree.Tree { return &c.roots[i] }

// tail returns what the type remembers besides the trees, writable; save keeps it.
func (c *coll) tail() []byte { return c.tailBuf[:tailSizes[c.typ]] }

// head composes the head of the trees.
func (c *coll) head(dst *[maxHead]byte) []byte {
	head := dst[:headSize(c.typ)]
	binary.LittleEndian.PutUint32(head, c.id)
	binary.LittleEndian.PutUint32(head[4:], 0)
	for i := range shapes[c.typ] {
		setHeadRoot(head, i, c.roots[i].Root)
	}
	copy(headTail(head, c.typ), c.tail())
	return head
}

// kind returns the kind of the entry.
func (c *coll) kind() uint8 {
	enc := c.enc
	if c.treed && c.typ == TypeHash && binary.LittleEndian.Uint64(c.tail()) != 0 {
		enc |= EncListpackEx // its fields may expire
	}
	return keyspace.Kind(uint8(c.typ), uint8(enc))
}

// put makes data the value of the key, which keeps its expiry. Trees that the key had are
// dropped.
func (c *coll) put(kind uint8, data []byte) error {
	if len(c.key) > MaxKey {
		return ErrTooLong
	}
	if c.t == nil {
		c.t = c.sh.table(c.tx.s, c.db)
	}
	v := keyspace.Value{Kind: kind, Data: data, ExpireAt: c.expireAt}
	p, ok := c.t.Lookup(c.h, c.key)
	var err error
	if ok {
		err = c.t.Replace(c.h, p, &v, c.tx.seconds())
	} else {
		err = c.t.Insert(c.h, c.key, &v, c.tx.seconds())
	}
	if err == nil {
		c.exists = true
	}
	return storeError(err)
}

// setPacked makes the collection one block, a copy of b, which must not be part of the
// present one. It counts as one change. After an error nothing has changed.
func (c *coll) setPacked(enc Encoding, b []byte) error {
	err := c.put(keyspace.Kind(uint8(c.typ), uint8(enc)), b)
	if err != nil {
		if c.t != nil {
			c.tx.s.publish(c.sh, c.db, c.t) // the index may have grown
		}
		return err
	}
	c.enc, c.treed, c.value = enc, false, nil
	if p, ok := c.t.Lookup(c.h, c.key); ok {
		_, c.value = c.t.Value(p)
	}
	c.tx.changed(c.sh, c.db, c.t, c.key)
	return nil
}

// makeTrees makes the collection one of empty trees, for the caller to fill and save. The
// elements that it had are gone. The change is counted by save. After an error nothing
// has changed.
func (c *coll) makeTrees(enc Encoding) error {
	var head [maxHead]byte
	err := c.put(keyspace.Kind(uint8(c.typ), uint8(enc)), head[:headSize(c.typ)])
	if c.t != nil {
		c.tx.s.publish(c.sh, c.db, c.t)
	}
	if err != nil {
		return err
	}
	c.enc, c.value, c.big = enc, nil, nil
	c.openTrees(head[:])
	return nil
}

// startTrees opens empty trees for a collection that is one block, or not there, for the caller to
// fill. Then becomeTrees or freeTrees must follow: until then the collection is what it was.
func (c *coll) startTrees() {
	if c.t == nil {
		c.t = c.sh.table(c.tx.s, c.db)
	}
	space := tree.Space{Heap: c.t.Nodes(), Guard: &c.sh.guard}
	for i := range shapes[c.typ] {
		c.roots[i] = tree.Open(space, shapes[c.typ][i], tree.Root{})
	}
}

// becomeTrees makes the collection the trees that startTrees has opened, which the caller saves
// afterwards. After an error there are no trees and nothing has changed.
func (c *coll) becomeTrees(enc Encoding) error {
	filled := c.roots
	if err := c.makeTrees(enc); err != nil {
		c.freeTrees()
		return err
	}
	for i := range shapes[c.typ] {
		c.roots[i].Root = filled[i].Root
	}
	return nil
}

// freeTrees gives up the trees that startTrees has opened.
func (c *coll) freeTrees() {
	for i := range shapes[c.typ] {
		c.roots[i].Free()
	}
	c.tx.s.publish(c.sh, c.db, c.t)
}

// save keeps what has changed in the trees and the tail. It counts as one change. It fails only
// where nothing but the tail has changed: what changes trees makes ready first.
func (c *coll) save() error {
	if err := c.ready(); err != nil {
		return err
	}
	s := c.tx.s
	if c.id == 0 {
		c.promote()
	}
	var buf [maxHead]byte
	p, ok := c.t.Lookup(c.h, c.key)
	if !ok {
		panic("kv: a collection was deleted while it was changed")
	}
	c.tx.must(c.t.Rewrite(c.h, p, c.kind(), c.head(&buf), c.tx.seconds()))
	if c.big != nil {
		c.sh.note(s, c.big)
	}
	c.tx.changed(c.sh, c.db, c.t, c.key)
	return nil
}

// promote gives trees that have become big a heap of their own. Where there is no memory
// for that they stay as they are.
func (c *coll) promote() {
	total := int64(0)
	for i := range shapes[c.typ] {
		total += c.roots[i].Bytes
	}
	if total <= promoteAt {
		return
	}
	heap := c.tx.s.arena.NewHeap(arena.Data)
	old := c.roots // leaves the stack; c, which is changed far more often, does not
	roots, err := cloneTrees(c.typ, &old, heap)
	if err != nil {
		return
	}
	for i := range shapes[c.typ] {
		old[i].Free()
	}
	c.big = c.tx.s.newBig(c.sh, c.db, heap, &c.id)
	space := tree.Space{Heap: heap, Guard: &c.big.guard}
	for i := range shapes[c.typ] {
		c.roots[i] = tree.Open(space, shapes[c.typ][i], roots[i])
	}
}

// newBig makes a heap that of a big collection of a shard and returns its number in id.
func (s *Store) newBig(sh *shard, db int, heap *arena.Heap, id *uint32) *bigTree {
	b := &bigTree{heap: heap}
	for *id = s.lastBig.Add(1); *id == 0; {
		*id = s.lastBig.Add(1)
	}
	b.sync(s, sh)
	sh.addBig(db, *id, b)
	sh.note(s, b)
	return b
}

// remove deletes the key. It counts as one change.
func (c *coll) remove() {
	if p, ok := c.t.Lookup(c.h, c.key); ok {
		removeKey(c.t, c.h, p)
		c.tx.changed(c.sh, c.db, c.t, c.key)
	}
	c.exists, c.treed, c.value, c.big, c.id = false, false, nil, nil, 0
	c.expireAt = NoExpiry
}

// scratch returns an empty slice with the Tx's memory, which is the caller's until keep: what
// is changed in it is not saved yet while other keys are open.
func (tx *Tx) scratch() []byte {
	b := tx.buf[:0]
	tx.buf = nil
	return b
}

// keep gives the memory of a scratch slice, which may have grown, to the Tx.
func (tx *Tx) keep(b []byte) {
	if cap(b) > cap(tx.buf) && cap(b) <= maxScratch {
		tx.buf = b[:0]
	}
}

// maxScratch bounds what a Tx keeps, in bytes.
const maxScratch = 1 << 20

// parseScore reads the text of a score.
func parseScore(b []byte) float64 {
	f, _ := strconv.ParseFloat(string(b), 64)
	return f
}
