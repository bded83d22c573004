package kv

import (
	"bytes"
	"slices"

	"kvd/kv/internal/arena"
	"kvd/kv/internal/cut"
	"kvd/kv/internal/keyspace"
	"kvd/kv/internal/tree"
)

// FillString makes key hold a raw string of size bytes. fill is called once for every
// ChunkSize bytes of it, in order, dst being as long as the chunk and at its place in the
// string: it returns dst filled, or bytes of its own that FillString will copy, or nil for
// zeroes. It may read the store, also what key holds, but not change it. expireAt is as for
// SetString. After an error, ErrTooLong or ErrNoMemory, nothing has changed.
func (tx *Tx) FillString(db int, key []byte, size, expireAt int64, fill func(dst []byte, at int64) []byte) error {
	if size > MaxString || len(key) > MaxKey {
		return ErrTooLong
	}
	if size <= ChunkedAbove {
		b := slices.Grow(tx.scratch(), int(size))[:size]
		for at := int64(0); at < size; at += ChunkSize {
			dst := b[at:min(at+ChunkSize, size)]
			if piece := fill(dst, at); piece != nil {
				copy(dst, piece)
			} else {
				clear(dst)
			}
		}
		tx.keep(b)
		return tx.SetString(db, key, b, EncRaw, expireAt)
	}
	t, h, p, ok := tx.find(db, key)
	c := coll{tx: tx, sh: tx.shard(h), t: t, db: db, key: key, h: h, typ: TypeString, expireAt: expireAt}
	if expireAt == KeepExpiry {
		c.expireAt = NoExpiry
		if ok {
			c.expireAt = t.ExpireAt(p)
		}
	}
	return c.fillString(size, fill)
}

// setLong is SetString for what lies in chunks.
func (tx *Tx) setLong(db int, key, val []byte, expireAt int64) error {
	return tx.FillString(db, key, int64(len(val)), expireAt, func(dst []byte, at int64) []byte {
		return val[at : at+int64(len(dst))]
	})
}

// fillString makes the key a string of chunks, whatever it was. It counts as one change.
// After an error nothing has changed.
func (c *coll) fillString(size int64, fill func(dst []byte, at int64) []byte) error {
	s := c.tx.s
	if c.t == nil {
		c.t = c.sh.table(s, c.db)
	}
	var heap *arena.Heap // of its own
	space := tree.Space{Heap: c.t.Nodes(), Guard: &c.sh.guard}
	if size > promoteAt {
		heap = s.arena.NewHeap(arena.Data)
		space = tree.Space{Heap: heap, Guard: new(cut.Guard)} // no cut can reach it yet
	}
	room := slices.Grow(c.tx.scratch(), ChunkSize)[:ChunkSize]
	root, err := buildChunks(space, size, room, fill)
	c.tx.keep(room)
	if err != nil {
		if heap != nil {
			heap.Drop()
		}
		s.publish(c.sh, c.db, c.t)
		return ErrNoMemory
	}
	n := coll{tx: c.tx, sh: c.sh, t: c.t, db: c.db, key: c.key, h: c.h, typ: TypeString, enc: EncChunks, treed: true, expireAt: c.expireAt}
	if heap != nil {
		n.big = s.newBig(c.sh, c.db, heap, &n.id)
		space.Guard = &n.big.guard
	}
	n.roots[0] = tree.Open(space, shapes[TypeString][0], root)
	var head [maxHead]byte
	if err := n.put(kindChunks, n.head(&head)); err != nil {
		c.sh.dropTrees(s, c.db, c.t, TypeString, n.head(&head))
		s.publish(c.sh, c.db, c.t)
		return err
	}
	*c = n
	c.tx.changed(c.sh, c.db, c.t, c.key)
	return nil
}

// buildChunks makes a tree of chunks; after an error there is nothing of it.
// room is ChunkSize bytes to work in.
func buildChunks(space tree.Space, size int64, room []byte, fill func(dst []byte, at int64) []byte) (tree.Root, error) {
	b := tree.NewBuilder(space, shapes[TypeString][0])
	for at := int64(0); at < size; at += ChunkSize {
		n := min(size-at, ChunkSize)
		if err := b.Add(nil, asKept(fill(room[:n], at), n, at+n == size), false); err != nil {
			b.Abort()
			return tree.Root{}, err
		}
	}
	root, err := b.Root()
	if err != nil {
		b.Abort()
	}
	return root, err
}

// asKept returns what the record of a new chunk of n bytes holds, nil meaning zeroes: nothing
// if it is zeroes, but all of the last one.
func asKept(chunk []byte, n int64, last bool) []byte {
	switch {
	case last && chunk == nil:
		return zeroChunk[:n]
	case last || chunk == nil || !bytes.Equal(chunk, zeroChunk[:n]):
		return chunk
	}
	return nil
}

// WriteAt writes data over the string at key from byte off on and
// returns its new length. The string is made longer as needed, by zeroes and data, and is a
// raw one afterwards; its expiry stays. A missing key is created. After an error,
// ErrWrongType, ErrTooLong or ErrNoMemory, nothing has changed. data must not be
// borrowed from the same string.
func (tx *Tx) WriteAt(db int, key []byte, off int64, data []byte) (size int64, err error) {
	end := off + int64(len(data))
	if off > MaxString || end > MaxString || len(key) > MaxKey {
		return 0, ErrTooLong
	}
	t, h, p, ok := tx.find(db, key)
	chunked := false
	if ok {
		kind, val := t.Value(p)
		if Type(keyspace.KindType(kind)) != TypeString {
			return 0, ErrWrongType
		}
		size, chunked = int64(len(val)), kind == kindChunks
	}
	if size = max(size, end); size <= ChunkedAbove && !chunked {
		b, err := tx.edit(&place{tx.shard(h), t, db, h, key}, p, ok, int(size))
		if err != nil {
			return 0, err
		}
		copy(b[off:], data)
		return size, nil
	}
	var c coll
	if err = tx.open(&c, db, key, TypeString); err != nil {
		return 0, err
	}
	return c.writeString(off, data)
}

// writeString writes data into a string that is, or becomes, one of chunks. It counts as
// one change; after an error nothing has changed.
func (c *coll) writeString(off int64, data []byte) (size int64, err error) {
	old := int64(len(c.value))
	if c.treed {
		old = chunkedLen(c.tree(0))
	}
	end := off + int64(len(data))
	size = max(old, end)
	if !c.treed || c.id == 0 && size > promoteAt {
		return size, c.fillString(size, func(dst []byte, at int64) []byte { return c.overlay(dst, at, old, off, data) })
	}
	if err := c.ready(); err != nil {
		return 0, err
	}
	if i := off / ChunkSize; off < end && end <= min(old, (i+1)*ChunkSize) { // in one chunk
		b, err := c.editChunk(i, min(size-i*ChunkSize, ChunkSize))
		if err != nil {
			return 0, c.saveAsIs()
		}
		copy(b[off-i*ChunkSize:], data)
		return size, c.save()
	}
	before := c.tree(0).Count
	if err := c.makeRoom(old, off, data); err != nil {
		return 0, c.saveAsIs()
	}
	for at := off; at < min(end, before*ChunkSize); {
		i := at / ChunkSize
		b, err := c.editChunk(i, min(size-i*ChunkSize, ChunkSize))
		c.tx.must(err) // it was made ready just now
		at += int64(copy(b[at-i*ChunkSize:], data[at-off:]))
	}
	return size, c.save()
}

// saveAsIs is save after a change that has found no memory, for the nodes may have moved.
func (c *coll) saveAsIs() error {
	_ = c.save()
	c.sh.changes.Add(-1)
	return ErrNoMemory
}

// overlay returns the chunk at byte at of a string: data at byte off over the present
// one, which has old bytes.
func (c *coll) overlay(dst []byte, at, old, off int64, data []byte) []byte {
	end, to := at+int64(len(dst)), off+int64(len(data))
	if off <= at && end <= to {
		return data[at-off : end-off]
	}
	if at >= old && (end <= off || at >= to) {
		return nil
	}
	n := 0
	switch {
	case at >= old:
	case c.treed:
		r, _ := c.tree(0).At(at / ChunkSize)
		n = copy(dst, chunkBytes(&r))
	default:
		n = copy(dst, c.value[at:])
	}
	clear(dst[n:])
	if from := max(at, off); from < min(end, to) {
		copy(dst[from-at:], data[from-off:])
	}
	return dst
}

// makeRoom makes a string of old bytes ready for data: it is long enough, the chunks that it
// gets hold their part of data, and no other that data will change needs memory any more.
// What its first old bytes are stays the same, and after an error so does its length.
func (c *coll) makeRoom(old, off int64, data []byte) error {
	t := c.tree(0)
	end := off + int64(len(data))
	size := max(old, end)
	for i := off / ChunkSize; i*ChunkSize < min(old, end); i++ {
		if _, err := c.editChunk(i, min(old-i*ChunkSize, ChunkSize)); err != nil {
			return err
		}
	}
	if size <= t.Count*ChunkSize {
		return c.growChunk(t.Count-1, old, size)
	}
	count := t.Count
	err := c.addChunks(old, off, data)
	if err == nil {
		err = c.growChunk(count-1, old, count*ChunkSize)
	}
	if err != nil { // what was just added can be taken back without memory
		c.tx.must(t.DeleteRange(count, t.Count-count))
	}
	return err
}

// growChunk makes chunk i, where a string of old bytes ends, longer by zeroes, so that it ends where
// one of size bytes would.
func (c *coll) growChunk(i, old, size int64) error {
	if size == old {
		return nil
	}
	t := c.tree(0)
	at := i * ChunkSize
	b, err := t.Edit(i, int(size-at))
	if err == nil {
		clear(b[old-at:])
	}
	return err
}

// addChunks adds to the chunks of a string of old bytes those that data lies in, or behind.
func (c *coll) addChunks(old, off int64, data []byte) error {
	t := c.tree(0)
	size, count := off+int64(len(data)), t.Count
	room := slices.Grow(c.tx.scratch(), ChunkSize)[:ChunkSize]
	defer c.tx.keep(room)
	for i := count; i*ChunkSize < size; i++ {
		n := min(size-i*ChunkSize, ChunkSize)
		chunk := c.overlay(room[:n], i*ChunkSize, old, off, data)
		if err := t.InsertAt(i, asKept(chunk, n, i*ChunkSize+n == size), false); err != nil {
			return err
		}
	}
	return nil
}

// editChunk returns a chunk, n bytes long, for writing.
func (c *coll) editChunk(i, n int64) ([]byte, error) {
	t := c.tree(0)
	r, _ := t.At(i)
	zero := len(r.Value) == 0
	b, err := t.Edit(i, int(n))
	if zero && err == nil {
		clear(b)
	}
	return b, err
}

// EditString makes key hold a raw string of exactly size bytes, at most ChunkedAbove, and
// returns it, writable until Unlock or the next operation on the key. Present bytes and
// expiry are kept, new bytes are zero; a missing key is created. size must not be
// less than the present length.
func (tx *Tx) EditString(db int, key []byte, size int) ([]byte, error) {
	if size > ChunkedAbove || len(key) > MaxKey {
		return nil, ErrTooLong
	}
	t, h, p, ok := tx.find(db, key)
	return tx.edit(&place{tx.shard(h), t, db, h, key}, p, ok, size)
}

// edit is EditString for the key that was looked up at p; ok: it is there.
func (tx *Tx) edit(at *place, p keyspace.Pos, ok bool, size int) ([]byte, error) {
	if at.t == nil {
		at.t = at.sh.table(tx.s, at.db)
	}
	kind := keyspace.Kind(uint8(TypeString), uint8(EncRaw))
	if !ok {
		if err := tx.put(at.t, at.h, at.key, p, &keyspace.Value{Kind: kind}); err != nil {
			tx.s.publish(at.sh, at.db, at.t)
			return nil, err
		}
		p, _ = at.t.Lookup(at.h, at.key)
	}
	b, err := at.t.Extend(at.h, p, kind, size, tx.seconds())
	if err != nil {
		if !ok {
			removeKey(at.t, at.h, p)
		}
		tx.s.publish(at.sh, at.db, at.t)
		return nil, ErrNoMemory
	}
	tx.changed(at.sh, at.db, at.t, at.key)
	return b, nil
}

// MakeRaw gives a string the encoding that one has after it was written to in place. It
// does not count as a change. It does nothing if there is no string at key. ErrNoMemory is
// its only error.
func (tx *Tx) MakeRaw(db int, key []byte) error {
	t, h, p, ok := tx.find(db, key)
	if !ok {
		return nil
	}
	kind, val := t.Value(p)
	if Type(keyspace.KindType(kind)) != TypeString || kind == kindChunks {
		return nil
	}
	_, err := t.Extend(h, p, keyspace.Kind(uint8(TypeString), uint8(EncRaw)), len(val), tx.seconds())
	tx.s.publish(tx.shard(h), db, t)
	return storeError(err)
}

// loadString makes the key a long string, or makes one longer by a part of it.
func (c *coll) loadString(r *Record) error {
	if !c.exists && len(r.Value) <= ChunkedAbove { // others of it may follow
		return c.setPacked(EncodingOf(r.Value), r.Value)
	}
	if !r.Append || !c.exists {
		return c.fillString(int64(len(r.Value)), func(dst []byte, at int64) []byte {
			return r.Value[at : at+int64(len(dst))]
		})
	}
	old := int64(len(c.value))
	if c.treed {
		old = chunkedLen(c.tree(0))
	}
	if len(r.Value) == 0 {
		return nil
	}
	if old+int64(len(r.Value)) > MaxString {
		return ErrTooLong
	}
	_, err := c.writeString(old, r.Value)
	return err
}
