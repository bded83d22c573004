package command

import "sync/atomic"

// errand is work that a command has left to a goroutine. Its client waits; its
// event loop, and all other clients, do not.
type errand struct {
	done atomic.Bool
	// What it came to, set before done.
	status string
	err    error
	reply  func(x *Ctx)
}

// Await runs fn on a goroutine of its own. At first it returns done false: the
// handler must then return at once, without a reply. The command is postponed and
// its handler called again, with the same arguments, whenever somebody is woken;
// when fn has returned, Await returns its results there. fn must not use x, nor
// its arguments, which are the connection's again by then. If the client goes
// away fn runs to its end all the same.
//
// It is not for commands inside EXEC, nor for those that hold locks: their rows
// have no keys, or LockSelf.
func (x *Ctx) Await(fn func() (status string, err error)) (status string, done bool, err error) {
	if e := x.await(func(e *errand) { e.status, e.err = fn() }); e != nil {
		return e.status, true, e.err
	}
	return "", false, nil
}

// AwaitReply is Await for replies of any form: fn returns the function that
// writes the reply. That one is called on the event loop, with its Ctx, and must
// not wait. The handler returns right behind AwaitReply.
func (x *Ctx) AwaitReply(fn func() (reply func(x *Ctx))) {
	if e := x.await(func(e *errand) { e.reply = fn() }); e != nil {
		e.reply(x)
	}
}

// await starts the client's errand unless it is under way. It returns it when it
// is done, before that nil.
func (x *Ctx) await(do func(e *errand)) *errand {
	c := x.Client
	e := c.errand
	if e != nil && e.done.Load() {
		c.errand = nil
		return e
	}
	if e == nil {
		e = &errand{}
		c.errand = e
		clients := x.Clients
		go func() {
			do(e)
			e.done.Store(true)
			clients.Wake()
		}()
	}
	x.waiting = true
	return nil
}

// Awaiting tells whether the command that runs was postponed by Await before. Its
// handler need not prepare another fn, which Await would not use.
func (x *Ctx) Awaiting() bool { return x.Client.errand != nil }
