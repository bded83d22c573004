package command

import (
	"bytes"
	"strings"
)

// Do runs one command for c, or refuses it; the reply is appended to c.Out.
// args must hold at least the name. They are borrowed: nothing of them is
// kept after Do returns.
func (x *Ctx) Do(c *Client, args [][]byte) Outcome {
	x.Client, x.Args = c, args
	s := x.state.table.lookup(args)
	if s == nil || c.state != 0 || x.state.gate.Load() != 0 || !s.arityOK(len(args)) || s.guarded && !x.free(s) {
		return x.doChecked(s)
	}
	x.setLast(s)
	x.run(s)
	if x.waiting {
		return x.postponed()
	}
	if x.parked {
		x.parked = false
		return Blocked
	}
	if c.state&stCloseAfter != 0 {
		return Close
	}
	return Done
}

// postponed ends a call of Do whose command waits for an errand.
func (x *Ctx) postponed() Outcome {
	x.waiting = false
	x.setPostponed(x.Client, true)
	return Postponed
}

// free tells whether a guarded command needs no closer look.
func (x *Ctx) free(s *Spec) bool {
	return s.Flags&Protected == 0 && x.Saver.WriteDenied() == ""
}

func (x *Ctx) setLast(s *Spec) {
	if c := x.Client; c.lastCmd.Load() != s {
		c.lastCmd.Store(s)
	}
}

// doChecked is Do for all but the plain case: the checks in Redis' order.
func (x *Ctx) doChecked(s *Spec) Outcome {
	c := x.Client
	mark := len(c.Out)
	if c.state&stSkipNext != 0 {
		c.state = c.state&^stSkipNext | stReplySkip
	}
	x.setLast(s)
	if x.refuse(s) {
		// What it may have begun before it was postponed ends without it: its
		// result is not that of the client's next command.
		c.errand = nil
	} else {
		if x.mustWait(s) {
			x.setPostponed(c, true)
			return Postponed
		}
		x.setPostponed(c, false)
		if c.state&stMulti != 0 && s.Flags&NeverQueue == 0 {
			x.enqueue(s)
		} else {
			x.run(s)
			if x.waiting {
				if c.state&stReplySkip != 0 { // for the command as a whole, later
					c.state = c.state&^stReplySkip | stSkipNext
				}
				return x.postponed()
			}
			if x.parked { // CLIENT REPLY counts when there is a reply
				x.parked = false
				return Blocked
			}
		}
	}
	if c.state&(stReplyOff|stReplySkip) != 0 {
		c.DropReplies(mark)
		c.state &^= stReplySkip
	}
	if c.state&stCloseAfter != 0 {
		return Close
	}
	return Done
}

// refuse replies the error, if the command may not run now, in the order of
// Redis' processCommand.
func (x *Ctx) refuse(s *Spec) bool {
	c := x.Client
	switch {
	case s == nil:
		x.reject(nil, x.unknown())
	case !s.arityOK(len(x.Args)):
		x.reject(s, sprintf(errArity, s.Name))
	case s.Flags&Protected != 0 && !x.Config.Allowed("enable-"+s.Name+"-command", x.Client.Local):
		x.reject(s, sprintf(errProtected, strings.ToUpper(s.Name), "enable-"+s.Name+"-command"))
	case c.state&stUnauth != 0 && s.Flags&NoAuth == 0 && x.passwordSet():
		x.reject(s, errNoAuth)
	case c.state&stMulti != 0 && s.Flags&NoMulti != 0:
		x.reject(s, errNoMultiCommand)
	case s.saved || s.isExec() && c.queue.flags&Write != 0:
		if reason := x.Saver.WriteDenied(); reason != "" {
			x.reject(s, errMisconf+sprintf(errMisconfReason, reason))
			return true
		}
		return x.refuseLoading(s)
	default:
		return x.refuseLoading(s)
	}
	return true
}

func (x *Ctx) refuseLoading(s *Spec) bool {
	if !x.IsLoading() || s.Flags&Loading != 0 && !(s.isExec() && x.Client.queue.denyLoading) {
		return false
	}
	x.reject(s, errLoading)
	return true
}

// mustWait tells whether CLIENT PAUSE or HoldWrites holds the command back.
func (x *Ctx) mustWait(s *Spec) bool {
	gate := x.state.gate.Load()
	if gate&(gatePause|gateHold) == 0 {
		return false
	}
	f := s.Flags
	if s.isExec() {
		f |= x.Client.queue.flags
	}
	mayWrite := f&(Write|MayReplicate) != 0
	return gate&gateHold != 0 && mayWrite || gate&gatePause != 0 && x.paused(mayWrite)
}

// reject replies an error for a command that was not run. It spoils an open
// transaction, and ends it if the command was EXEC.
func (x *Ctx) reject(s *Spec, text string) {
	if s != nil {
		x.local.reject(s)
	}
	c := x.Client
	if c.state&stMulti != 0 {
		c.state |= stDirtyExec
	}
	if s != nil && s.isExec() {
		x.discard()
		x.Errf(errExecAbortBecause, strings.TrimPrefix(text, "ERR "))
		return
	}
	x.Err(text)
}

// unknown words the error for a name that is not in the table.
func (x *Ctx) unknown() string {
	if s := x.state.table.lookupName(x.Args[0]); s != nil {
		return sprintf(errUnknownSubcommand, cText(x.Args[1], 128), strings.ToUpper(cText(x.Args[0], len(x.Args[0]))))
	}
	var quoted []byte
	for _, a := range x.Args[1:] {
		if len(quoted) >= 128 {
			break
		}
		quoted = append(quoted, '\'')
		quoted = append(quoted, cText(a, 128-(len(quoted)-1))...)
		quoted = append(quoted, "' "...)
	}
	return sprintf(errUnknownCommand, cText(x.Args[0], 128), bytes.TrimRight(quoted, "\r\n"))
}

// run takes the command's locks, calls its handler and counts it.
func (x *Ctx) run(s *Spec) {
	x.Spec = s
	errs := x.local.errs
	if s.quick {
		if x.series != s || x.seriesLen == maxSeries {
			x.endSeries()
			x.series = s
		}
		x.lockOne(s)
		s.Handler(x)
		x.unlock(s)
		x.seriesLen++
		x.countFailure(s, errs)
		return
	}
	x.endSeries()
	if s.oneKey {
		x.lockOne(s)
		s.Handler(x)
		x.unlock(s)
	} else {
		x.runLocked(s)
	}
	end := x.now()
	if !x.waiting {
		x.record(s, 1, end-x.clock)
		x.countFailure(s, errs)
	}
	x.clock = end
}

// lockOne locks the key of a command that has one.
func (x *Ctx) lockOne(s *Spec) {
	if s.marks && x.state.blocking.moves.Load() != 0 {
		x.keys = x.withMoves(append(x.keys[:0], x.Args[1]))
		x.Tx.LockKeys(x.keys)
		clear(x.keys)
		return
	}
	x.Tx.LockKey(x.Args[1])
}

// unlock releases the locks of the command that has run, once those clients are served
// that were blocked until it came.
func (x *Ctx) unlock(s *Spec) {
	if !x.anyWaits() {
		x.Tx.Unlock()
		return
	}
	x.markKeys(s)
	x.settle()
}

// maxSeries bounds how many commands are timed together.
const maxSeries = 16

// endSeries counts a series of quick commands. Reading the clock would be a
// tenth of the time of each of them; those of one name that follow each other in
// a pipeline share one reading and an equal part of the time.
func (x *Ctx) endSeries() {
	if x.seriesLen == 0 {
		return
	}
	end := x.now()
	x.record(x.series, x.seriesLen, end-x.clock)
	x.clock = end
	x.series, x.seriesLen = nil, 0
}

// runLocked is run for commands with any number of keys, or none.
func (x *Ctx) runLocked(s *Spec) {
	if s.Before != nil {
		s.Before(x)
		if x.waiting {
			return
		}
	}
	if x.lockFor(s) {
		s.Handler(x)
		x.unlock(s)
	} else {
		s.Handler(x)
	}
	if s.After != nil {
		s.After(x)
	}
}

// lockFor takes the locks of the command in x.Args; false if it needs none.
func (x *Ctx) lockFor(s *Spec) bool {
	switch s.lockMode(x.Args) {
	case LockAll:
		x.Tx.LockAll()
	case LockSelf:
		return false
	default:
		x.keys = s.appendKeys(x.keys[:0], x.Args)
		if len(x.keys) == 0 {
			return false
		}
		x.keys = x.withMoves(x.keys)
		x.Tx.LockKeys(x.keys)
		clear(x.keys) // they point into the query buffer
	}
	return true
}

func (s *Spec) isExec() bool { return s.exec }
