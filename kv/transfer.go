package kv

import (
	"encoding/binary"

	"kvd/kv/internal/arena"
	"kvd/kv/internal/cut"
	"kvd/kv/internal/keyspace"
	"kvd/kv/internal/tree"
)

// Copy makes dst hold what src holds, expiry included, replacing what it held.
// It does nothing if src does not exist or is dst.
func (tx *Tx) Copy(srcDB int, src []byte, dstDB int, dst []byte) error {
	return tx.transfer(srcDB, src, dstDB, dst, false)
}

// Move makes dst hold what src holds, expiry included, and removes src. It
// counts as one change. The time that it takes depends on the size of the value
// only up to that from which a collection has memory of its own.
func (tx *Tx) Move(srcDB int, src []byte, dstDB int, dst []byte) error {
	return tx.transfer(srcDB, src, dstDB, dst, true)
}

// place is where a key is, or is to be.
type place struct {
	sh  *shard
	t   *keyspace.Table
	db  int
	h   uint64
	key []byte
}

func (tx *Tx) transfer(srcDB int, src []byte, dstDB int, dst []byte, move bool) error {
	if srcDB == dstDB && string(src) == string(dst) {
		return nil
	}
	if len(dst) > MaxKey {
		return ErrTooLong
	}
	t, h, p, ok := tx.find(srcDB, src)
	if !ok {
		return nil
	}
	from := place{tx.shard(h), t, srcDB, h, src}
	var e keyspace.Entry
	t.Read(p, &e)
	h = tx.s.hasher.Hash(dst)
	to := place{sh: tx.shard(h), db: dstDB, h: h, key: dst}
	to.t = to.sh.table(tx.s, dstDB)

	v := keyspace.Value{Kind: e.Kind, Data: e.Value, ExpireAt: e.ExpireAt}
	var head [maxHead]byte
	kept := false // src's trees become dst's
	if keyspace.HasTrees(e.Kind) {
		v.Data = head[:copy(head[:], e.Value)]
		kept = move && (from.t == to.t || headID(v.Data) != 0)
		if !kept {
			if err := tx.cloneTo(&to, &v); err != nil {
				return err
			}
		}
	}
	if err := tx.putAt(&to, &v); err != nil {
		if v.Data != nil && keyspace.HasTrees(e.Kind) && !kept {
			to.sh.dropTrees(tx.s, to.db, to.t, Type(e.Type()), v.Data)
		}
		tx.s.publish(to.sh, to.db, to.t)
		return err
	}
	if id := headID(head[:]); kept && id != 0 && from.t != to.t {
		b := from.sh.bigs.of[from.db][id]
		b.sync(tx.s, from.sh) // it knows now where a live cut reaches it
		to.sh.addBig(to.db, id, from.sh.takeBig(tx.s, from.db, id))
		tx.s.noteDeferred(to.sh)
	}
	tx.changed(to.sh, to.db, to.t, dst)
	if Type(e.Type()) == TypeHash && Encoding(e.Encoding())&EncListpackEx != 0 {
		tx.noteFields(dstDB, dst)
	}
	if move {
		tx.takeAt(&from, kept)
	}
	return nil
}

// putAt makes v the value of the key.
func (tx *Tx) putAt(to *place, v *keyspace.Value) error {
	if p, ok := to.t.Lookup(to.h, to.key); ok {
		return storeError(to.t.Replace(to.h, p, v, tx.seconds()))
	}
	return storeError(to.t.Insert(to.h, to.key, v, tx.seconds()))
}

// takeAt removes the key that was moved.
func (tx *Tx) takeAt(from *place, kept bool) {
	p, _ := from.t.Lookup(from.h, from.key)
	switch {
	case !kept:
		removeKey(from.t, from.h, p)
	case from.t.Take(from.h, p) != nil:
		from.t.Hide(p, true)
	}
	tx.s.publish(from.sh, from.db, from.t)
	from.sh.touchWatchers(from.db, from.key, true)
}

// cloneTo makes v's head, which the caller owns, that of copies of its trees: in the heap of
// to's table, or in one of their own if they are big.
func (tx *Tx) cloneTo(to *place, v *keyspace.Value) error {
	typ := Type(keyspace.KindType(v.Kind))
	var trees [maxTrees]tree.Tree
	for i := range shapes[typ] {
		trees[i] = tree.Read(tx.s.arena, shapes[typ][i], headRoot(v.Data, i))
	}
	heap, id := to.t.Nodes(), headID(v.Data)
	if id != 0 {
		heap = tx.s.arena.NewHeap(arena.Data)
	}
	roots, err := cloneTrees(typ, &trees, heap)
	if err != nil {
		return err
	}
	if id != 0 {
		tx.s.newBig(to.sh, to.db, heap, &id)
	}
	binary.LittleEndian.PutUint32(v.Data, id)
	for i := range shapes[typ] {
		setHeadRoot(v.Data, i, roots[i])
	}
	return nil
}

// cloneTrees copies the trees of a type into a heap; after an error nothing of them is in it.
func cloneTrees(typ Type, trees *[maxTrees]tree.Tree, to *arena.Heap) (roots [maxTrees]tree.Root, err error) {
	for i := range shapes[typ] {
		if roots[i], err = trees[i].Clone(to); err == nil {
			continue
		}
		for j := range i { // no cut can reach them
			t := tree.Open(tree.Space{Heap: to, Guard: new(cut.Guard)}, shapes[typ][j], roots[j])
			t.Free()
		}
		return roots, ErrNoMemory
	}
	return roots, nil
}
