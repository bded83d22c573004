package command

import "kvd/kv"

// Transactions. EXEC takes the locks of all keys of all queued commands before
// it runs the first of them, together with those of the watched keys: nothing
// can come between the check of the watched keys and the last command, and no
// cut of a background save falls inside.

// multiQueue holds the commands between MULTI and EXEC.
type multiQueue struct {
	cmds        []queued
	bytes       int64 // memory of the arguments
	flags       Flags // of all queued commands together
	denyLoading bool  // one of them may not run while loading
}

type queued struct {
	spec *Spec
	args [][]byte // owned
}

// queuedOverhead is the memory of a queued command beside its arguments' bytes.
const queuedOverhead = 48

func (q *multiQueue) reset() { *q = multiQueue{} }

// add appends a copy of a command.
func (q *multiQueue) add(s *Spec, args [][]byte) {
	n := 0
	for _, a := range args {
		n += len(a)
	}
	buf := make([]byte, 0, n)
	owned := make([][]byte, len(args))
	for i, a := range args {
		at := len(buf)
		buf = append(buf, a...)
		owned[i] = buf[at:len(buf):len(buf)]
	}
	q.cmds = append(q.cmds, queued{s, owned})
	q.bytes += int64(n+24*len(args)) + queuedOverhead
	q.flags |= s.Flags
	q.denyLoading = q.denyLoading || s.Flags&Loading == 0
}

// enqueue queues the present command. A transaction that is bound to fail
// keeps no more commands.
func (x *Ctx) enqueue(s *Spec) {
	c := x.Client
	if c.state&stDirtyExec == 0 && !c.watchBroken() {
		c.queue.add(s, x.Args)
		c.multiMem.Store(c.queue.bytes)
		c.sharedMulti.Store(int32(len(c.queue.cmds)))
	}
	x.Simple("QUEUED")
}

var transactionCommands = []*Spec{
	{
		Name: "multi", Arity: 1, Flags: NoScript | Loading | Stale | Fast | AllowBusy | NeverQueue, Categories: CatTransaction,
		Handler: cmdMulti,
		Doc:     Doc{Summary: "Begins a transaction: the commands that follow are queued.", Since: "1.2.0", Group: "transactions", Complexity: "O(1)"},
	},
	{
		Name: "exec", Arity: 1, Flags: NoScript | Loading | Stale | SkipSlowlog | NeverQueue, Categories: CatTransaction, Lock: LockSelf,
		Handler: cmdExec,
		Doc:     Doc{Summary: "Runs the queued commands as one step.", Since: "1.2.0", Group: "transactions", Complexity: "Depends on commands in the transaction"},
	},
	{
		Name: "discard", Arity: 1, Flags: NoScript | Loading | Stale | Fast | AllowBusy | NeverQueue, Categories: CatTransaction,
		Handler: cmdDiscard,
		Doc:     Doc{Summary: "Ends a transaction without running its commands.", Since: "2.0.0", Group: "transactions", Complexity: "O(N), when N is the number of queued commands"},
	},
	{
		Name: "watch", Arity: -2, Flags: NoScript | Loading | Stale | Fast | AllowBusy | NeverQueue, Categories: CatTransaction,
		First: 1, Last: -1, Step: 1, KeySpecs: []KeySpec{keyRange(1, -1, 1, KeyRO)},
		Handler: cmdWatch,
		Doc: Doc{Summary: "Makes the next EXEC fail if one of the keys changes before it.", Since: "2.2.0", Group: "transactions", Complexity: "O(1) for every key.",
			Args: []Arg{{Name: "key", Type: "key", KeySpec: 1, Multiple: true}}},
	},
	{
		Name: "unwatch", Arity: 1, Flags: NoScript | Loading | Stale | Fast | AllowBusy, Categories: CatTransaction,
		Handler: cmdUnwatch,
		Doc:     Doc{Summary: "Forgets all keys that the connection watches.", Since: "2.2.0", Group: "transactions", Complexity: "O(1)"},
	},
}

func cmdMulti(x *Ctx) {
	c := x.Client
	if c.state&stMulti != 0 {
		x.Err(errNestedMulti)
		return
	}
	c.state |= stMulti
	c.sharedMulti.Store(0)
	x.OK()
}

func cmdDiscard(x *Ctx) {
	if x.Client.state&stMulti == 0 {
		x.Err(errDiscardNoMulti)
		return
	}
	x.discard()
	x.OK()
}

func cmdWatch(x *Ctx) {
	c := x.Client
	if c.state&stMulti != 0 {
		x.Err(errWatchInsideMulti)
		return
	}
	w := c.watcher.Load()
	if w == nil {
		w = new(kv.Watcher)
		c.watcher.Store(w)
	}
	for _, key := range x.Args[1:] {
		x.Tx.Watch(c.db, key, w)
	}
	x.OK()
}

// cmdUnwatch leaves the work to the end of a transaction if it runs in one:
// EXEC forgets the keys anyhow, and the store must not be locked for it.
func cmdUnwatch(x *Ctx) {
	if !x.InExec {
		x.unwatch(x.Client)
	}
	x.OK()
}

// endMulti leaves the transaction.
func (c *Client) endMulti() {
	c.queue.reset()
	c.state &^= stMulti | stDirtyExec
	c.sharedMulti.Store(-1)
	c.multiMem.Store(0)
}

// discard leaves the transaction and forgets the watched keys. No locks may
// be held.
func (x *Ctx) discard() {
	x.Client.endMulti()
	x.unwatch(x.Client)
}

// unwatch forgets the keys that c watches. No locks may be held.
func (e *Engine) unwatch(c *Client) {
	if w := c.watching(); w != nil {
		e.Store.Unwatch(w)
	}
}

// watchBroken tells whether a watched key is known to have changed.
func (c *Client) watchBroken() bool {
	w := c.watching()
	return w != nil && w.Dirty()
}

func cmdExec(x *Ctx) {
	c := x.Client
	if c.state&stMulti == 0 {
		x.Err(errExecWithoutMulti)
		return
	}
	if c.state&stDirtyExec != 0 {
		x.discard()
		x.Err(errExecAbort)
		return
	}
	if c.watchBroken() {
		x.discard()
		x.NullArray()
		return
	}
	cmds := c.queue.cmds
	args, spec := x.Args, x.Spec
	x.InExec = true // what is awaited outside EXEC is waited for here
	x.eachQueued(cmds, func(s *Spec) func(*Ctx) { return s.Before })
	x.InExec = false
	locked := x.lockQueued(cmds)
	if w := c.watching(); w != nil && x.Tx.WatchBroken(w) {
		x.Tx.Unlock()
		x.discard()
		x.NullArray()
		return
	}
	c.endMulti()
	x.Array(len(cmds))
	x.runQueued(cmds)
	if locked {
		x.settle()
	}
	x.eachQueued(cmds, func(s *Spec) func(*Ctx) { return s.After })
	for _, f := range x.after {
		f()
	}
	clear(x.after)
	x.after = x.after[:0]
	x.Args, x.Spec = args, spec
	x.unwatch(c)
}

// runQueued runs the commands of a transaction under the locks that are held.
func (x *Ctx) runQueued(cmds []queued) {
	x.InExec = true
	for _, q := range cmds {
		x.Args, x.Spec = q.args, q.spec
		x.setLast(q.spec)
		start, errs := x.now(), x.local.errs
		q.spec.Handler(x)
		x.markKeys(q.spec)
		x.record(q.spec, 1, x.now()-start)
		x.countFailure(q.spec, errs)
	}
	x.InExec = false
}

// eachQueued calls a hook of each queued command that has it.
func (x *Ctx) eachQueued(cmds []queued, hook func(*Spec) func(*Ctx)) {
	for _, q := range cmds {
		if f := hook(q.spec); f != nil {
			x.Args, x.Spec = q.args, q.spec
			f(x)
		}
	}
}

// lockQueued takes the locks that the commands and the watched keys need;
// false if that is none.
func (x *Ctx) lockQueued(cmds []queued) bool {
	keys := x.keys[:0]
	for _, q := range cmds {
		if q.spec.lockMode(q.args) != LockKeys {
			x.Tx.LockAll()
			return true
		}
		keys = q.spec.appendKeys(keys, q.args)
	}
	if w := x.Client.watching(); w != nil {
		keys = append(keys, w.Keys()...)
	}
	if len(keys) == 0 {
		return false
	}
	x.keys = x.withMoves(keys)
	x.Tx.LockKeys(x.keys)
	clear(x.keys)
	return true
}
