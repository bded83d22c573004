package command

import "sync/atomic"

// errand is work that a command has left to a goroutine. Its client waits; its
// event loop, and all other clients, do not.
type errand struct {
	done   atomic.Bool
	status string // set before done
	err    error
}

// await runs fn on a goroutine of its own. At first it returns done false: the
// handler must then return at once, without a reply. The command is postponed and
// its handler called again, with the same arguments; when fn has returned,
// await returns its results there. It is not for commands inside EXEC, nor for
// those that hold locks.
func (x *Ctx) await(fn func() (status string, err error)) (status string, done bool, err error) {
	c := x.Client
	e := c.errand
	if e != nil && e.done.Load() {
		c.errand = nil
		return e.status, true, e.err
	}
	if e == nil {
		e = &errand{}
		c.errand = e
		clients := x.Clients
		go func() {
			e.status, e.err = fn()
			e.done.Store(true)
			clients.Wake()
		}()
	}
	x.waiting = true
	return "", false, nil
}
