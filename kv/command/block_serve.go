package command

import (
	"bytes"
	"slices"

	"kvd/kv"
	"kvd/kv/resp"
)

// ready is what a Ctx remembers of keys that may serve somebody.
type ready struct {
	now   []waitKey // in the order in which they were marked
	later []waitKey // need other locks than those that are held
	marks map[waitKey]bool
}

// keyReady notes that a key may have become what a blocked client waits for, because of
// what was written to it or because it is gone. The key's shard must be locked. It costs
// next to nothing while nobody waits.
func (x *Ctx) keyReady(db int, key []byte) {
	s := &x.state.blocking
	if s.queued.Load() == 0 {
		return
	}
	if x.serving != nil {
		x.mark(db, key) // s.mu is held
		return
	}
	s.mu.Lock()
	x.mark(db, key)
	s.mu.Unlock()
}

// mark is keyReady while the blockState's mutex is held.
func (x *Ctx) mark(db int, key []byte) {
	q := x.state.blocking.queues[waitKey{db, string(key)}]
	if q == nil || x.ready.marks[q.waitKey] {
		return
	}
	if x.ready.marks == nil {
		x.ready.marks = map[waitKey]bool{}
	}
	x.ready.marks[q.waitKey] = true
	x.ready.now = append(x.ready.now, q.waitKey)
}

// databaseReady is keyReady for all keys of a database. All locks must be held.
func (x *Ctx) databaseReady(db int) {
	s := &x.state.blocking
	if s.queued.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.queues {
		if k.db == db {
			x.mark(db, []byte(k.key))
		}
	}
}

// markKeys is keyReady for those keys of the command that has run that somebody waits for. The
// others are left alone: in a transaction, where a key stands among those that are served is
// decided by the command that has made it worth waiting for, not by one that has found it empty.
func (x *Ctx) markKeys(s *Spec) {
	b := &x.state.blocking
	if !s.marks || x.parked || b.queued.Load() == 0 {
		return
	}
	keys := s.appendKeys(nil, x.Args)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range keys {
		it, _ := x.Tx.Peek(x.Client.db, key)
		if b.awaited(waitKey{x.Client.db, string(key)}, it.Type) {
			x.mark(x.Client.db, key)
		}
	}
}

// awaited tells whether somebody waits for a key to have a value of that type, or for a group
// that may be gone. s.mu is held.
func (s *blockState) awaited(k waitKey, typ kv.Type) bool {
	q := s.queues[k]
	if q == nil || s.groups[k] > 0 {
		return q != nil
	}
	for seat := q.head; seat != nil && typ != kv.TypeNone; seat = seat.next {
		if seat.w.typ == typ {
			return true
		}
	}
	return false
}

// settle serves those who wait for the keys that are marked, and releases the locks: in
// this order, so that nobody else can take an element away from a waiter.
func (x *Ctx) settle() {
	x.serveReady()
	x.Tx.Unlock()
	x.settleLater()
}

// anyWaits tells whether settle has anything to look at.
func (x *Ctx) anyWaits() bool {
	return x.state.blocking.queued.Load() != 0 || len(x.ready.now) != 0
}

// serveReady serves the marked keys, and those that are marked on the way: a client that
// is served by BLMOVE fills another key.
func (x *Ctx) serveReady() {
	r := &x.ready
	for i := 0; i < len(r.now); i++ {
		k := r.now[i]
		delete(r.marks, k)
		if !x.serveKey(k) {
			r.later = append(r.later, k)
		}
	}
	clear(r.now)
	r.now = r.now[:0]
}

// settleLater serves those who need more locks than the command held, which withMoves did
// not foresee. No locks are held. Between the command and this others may have taken what
// was there.
func (x *Ctx) settleLater() {
	r := &x.ready
	for i := 0; i < len(r.later); i++ {
		k := r.later[i]
		x.Tx.LockKeys(append(x.state.blocking.alsoKeys(k), []byte(k.key)))
		if !x.serveKey(k) {
			r.later = append(r.later, k)
		}
		x.serveReady()
		x.Tx.Unlock()
	}
	clear(r.later)
	r.later = r.later[:0]
}

// alsoKeys returns the other keys of the first waiter for a key that needs some.
func (s *blockState) alsoKeys(k waitKey) [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.queues[k]; q != nil {
		for seat := q.head; seat != nil; seat = seat.next {
			if len(seat.w.also) > 0 {
				return append([][]byte(nil), seat.w.also...)
			}
		}
	}
	return nil
}

// serveKey serves those who wait for a key, in the order in which they came, as long as
// there is something for them. It returns false if it stopped at one who needs locks that
// are not held.
func (x *Ctx) serveKey(k waitKey) bool {
	s := &x.state.blocking
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[k]
	if q == nil {
		return true
	}
	key := []byte(k.key)
	for seat := q.head; seat != nil; {
		w := seat.w
		seat = seat.next
		it, _ := x.Tx.Peek(k.db, key)
		switch {
		case it.Type == w.typ:
			if !x.holds(w) {
				return false
			}
			x.serve(w, k)
		case w.gone:
			s.leave(w)
			x.failServed(w)
			x.release(w, resp.AppendError(nil, errUnblockedStream))
		case it.Type == kv.TypeNone && s.groups[k] == 0:
			return true
		}
	}
	return true
}

// holds tells whether the other keys that w needs to be served are locked.
func (x *Ctx) holds(w *waiter) bool {
	for _, key := range w.also {
		if !x.Tx.Holds(key) {
			return false
		}
	}
	return true
}

// movesAhead is how many waiters for a key withMoves looks at, and how many keys it adds.
const movesAhead = 64

// withMoves appends to the keys that a command will lock those that BLMOVE would carry
// elements to if the command puts some into the keys, and from there on. With their locks
// the command and all that follows from it are one step.
func (x *Ctx) withMoves(keys [][]byte) [][]byte {
	s := &x.state.blocking
	if s.moves.Load() == 0 {
		return keys
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(keys) + movesAhead
	for i := 0; i < len(keys); i++ {
		q := s.queues[waitKey{x.Client.db, string(keys[i])}]
		if q == nil {
			continue
		}
		seat := q.head
		for n := 0; n < movesAhead && seat != nil && len(keys) < last; n++ {
			keys = appendNew(keys, seat.w.also)
			seat = seat.next
		}
	}
	return keys
}

// appendNew appends those of more that are not in keys yet.
func appendNew(keys, more [][]byte) [][]byte {
	for _, key := range more {
		if !slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, key) }) {
			keys = append(keys, key)
		}
	}
	return keys
}

// serve runs the handler of w on its behalf, for the key that is ready. What w's own loop
// may be reading of its client is not touched: the handler works for a stand-in.
func (x *Ctx) serve(w *waiter, k waitKey) {
	client, spec, args, inExec := x.Client, x.Spec, x.Args, x.InExec
	n := &x.local
	hits, misses, errs := n.hits, n.misses, n.errs
	p := &x.standIn
	p.db, p.resp, p.Out = w.db, w.resp, p.Out[:0]
	x.Client, x.Spec, x.Args, x.InExec = p, w.spec, w.args, false
	x.serving, x.unserved = &k, false
	w.spec.Handler(x)
	if !x.unserved {
		for _, key := range w.also {
			x.mark(w.db, key)
		}
	}
	x.serving = nil
	x.Client, x.Spec, x.Args, x.InExec = client, spec, args, inExec
	n.hits, n.misses = hits, misses
	failed := n.errs != errs
	n.servedErrs += n.errs - errs // not of the command that is being run
	n.errs = errs
	if x.unserved {
		return
	}
	if failed {
		n.at(w.spec).failed++
	}
	x.state.blocking.leave(w)
	x.release(w, p.Out)
	if cap(p.Out) > maxStandInOut {
		p.Out = nil
	}
}

// maxStandInOut is the largest reply buffer that is kept for the next who is served.
const maxStandInOut = 64 << 10

// failServed counts the error that ends the waiting of w.
func (x *Ctx) failServed(w *waiter) {
	errs := x.local.errs
	x.local.countError(errUnblockedStream)
	x.local.servedErrs += x.local.errs - errs
	x.local.errs = errs
	x.local.at(w.spec).failed++
}

// maxLookups bounds how many keys ServeMissed looks at.
const maxLookups = 1000

// ServeMissed serves those whose keys were changed by something that is not a command: a
// stream with the group that they wait for has expired, or a snapshot was loaded. It is for
// a loop's tick.
func (x *Ctx) ServeMissed() {
	s := &x.state.blocking
	if s.queued.Load() == 0 {
		return
	}
	var keys []waitKey
	s.mu.Lock()
	for k := range s.queues { // others each time
		if keys = append(keys, k); len(keys) == maxLookups {
			break
		}
	}
	s.mu.Unlock()
	for _, k := range keys {
		key := []byte(k.key)
		x.Tx.LockKey(key)
		it, _ := x.Tx.Peek(k.db, key)
		s.mu.Lock()
		if s.missed(k, it.Type) {
			x.mark(k.db, key)
		}
		s.mu.Unlock()
		x.settle()
	}
}

// missed tells whether somebody waits for a key who should not, now that it has a value of
// that type. Those who wait for entries of a stream are not looked at: whether there are
// some for them only their handlers know. s.mu is held.
func (s *blockState) missed(k waitKey, typ kv.Type) bool {
	q := s.queues[k]
	if q == nil || typ == kv.TypeStream {
		return false
	}
	return q.head.w.typ == typ || s.groups[k] > 0
}
