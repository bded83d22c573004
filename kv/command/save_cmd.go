package command

import (
	"errors"
	"math"

	"kvd/kv/resp"
)

func cmdLastSave(x *Ctx) { x.Int(x.Saver.Info().LastSaveUnix) }

func cmdSave(x *Ctx) {
	if err := x.Saver.Save(); err != nil {
		x.saveErr(err)
		return
	}
	x.OK()
}

// saveErr words an error of the saver or of the snapshots.
func (x *Ctx) saveErr(err error) {
	switch {
	case errors.Is(err, ErrSaveInProgress):
		x.Err(errSaving)
	case errors.Is(err, ErrNoSave):
		x.Err(errNoSave)
	default:
		x.Err("ERR " + err.Error())
	}
}

func cmdBgsave(x *Ctx) {
	if len(x.Args) == 2 && is(x.Args[1], "cancel") {
		x.cancelSave()
		return
	}
	r, problem := parseBgsave(x.Args[1:], x.Store.Databases())
	switch {
	case problem != "":
		x.Err(problem)
	case x.InExec:
		x.scheduleSave(r)
	default:
		saver := x.Saver
		x.replyLater(func() (string, error) { return saver.Start(r) })
	}
}

// bgsaveMethods are the words for engines in BGSAVE; FORKLESS is Valkey's.
var bgsaveMethods = []struct{ word, kind string }{
	{"fork", "fork"}, {"thread", "thread"}, {"forkless", "thread"}, {"copy", "copy"}, {"auto", "auto"},
}

// parseBgsave reads the options of BGSAVE, in any order and each at most once.
// problem is the error for the client, or "".
func parseBgsave(args [][]byte, databases int) (r SaveRequest, problem string) {
	r.DB = -1
	named := false
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch {
		case is(arg, "schedule") && !r.Schedule:
			r.Schedule = true
		case is(arg, "to") && !named && len(args) > 0:
			if r.Name = string(args[0]); r.Name == "" {
				return r, errSnapshotName
			}
			named, args = true, args[1:]
		case is(arg, "db") && r.DB < 0 && len(args) > 0:
			if r.DB, problem = parseDB(args[0], databases); problem != "" {
				return r, problem
			}
			args = args[1:]
		default:
			kind := ""
			for _, m := range bgsaveMethods {
				if is(arg, m.word) {
					kind = m.kind
				}
			}
			if kind == "" || r.Kind != "" {
				return r, errSyntax
			}
			r.Kind = kind
		}
	}
	return r, ""
}

// parseDB reads the number of a database below limit, as SELECT does.
func parseDB(arg []byte, limit int) (db int, problem string) {
	n, ok := resp.ParseInt(arg)
	switch {
	case !ok || n != int64(int32(n)):
		return 0, errNotInteger
	case n < 0 || n >= int64(limit):
		return 0, errDBRange
	}
	return int(n), ""
}

// replyLater replies what fn, which may wait for the disk, returns for a save.
func (x *Ctx) replyLater(fn func() (status string, err error)) {
	status, done, err := x.Await(fn)
	switch {
	case !done:
	case err != nil:
		x.saveErr(err)
	default:
		x.Simple(status)
	}
}

// scheduleSave is BGSAVE inside a transaction: a cut cannot be made while the
// transaction holds its locks, so that the save starts right behind it.
func (x *Ctx) scheduleSave(r SaveRequest) {
	if !r.Schedule && x.Saver.Info().BgsaveInProgress {
		x.Err(errSaving)
		return
	}
	if err := x.Saver.Check(r); err != nil {
		x.saveErr(err)
		return
	}
	r.Schedule = true
	saver, log := x.Saver, x.Log
	x.after = append(x.after, func() {
		if _, err := saver.Start(r); err != nil {
			log.Warn("The background save scheduled by a transaction did not start: " + err.Error())
		}
	})
	x.Simple("Background saving scheduled")
}

func (x *Ctx) cancelSave() {
	if x.InExec {
		x.Errf(errNotInTransactions, "BGSAVE CANCEL")
		return
	}
	saver := x.Saver
	x.replyLater(func() (string, error) { return "Background saving cancelled", saver.Cancel() })
}

var snapshotHelp = helpText("SNAPSHOT",
	"LIST", "List the dumps in the directory, the newest first.",
	"LOAD <name> [DB <index> [INTO <index>]]", "Replace the data, or one database, by those of a dump.",
	"STATUS", "Return the figures of the save in progress and of the last one.",
	"VERIFY <name>", "Read a dump to its end and tell what is in it.",
)

func cmdSnapshotHelp(x *Ctx) { x.Strings(snapshotHelp) }

// noSnapshots replies the error if a subcommand that waits for the disk cannot
// run now.
func (x *Ctx) noSnapshots(name string) bool {
	switch {
	case x.InExec:
		x.Errf(errNotInTransactions, name)
	case x.Snapshots == nil:
		x.Err(errNoSnapshots)
	default:
		return false
	}
	return true
}

func cmdSnapshotList(x *Ctx) {
	if x.noSnapshots("SNAPSHOT LIST") {
		return
	}
	snapshots := x.Snapshots
	x.AwaitReply(func() func(*Ctx) {
		list, err := snapshots.List()
		return func(x *Ctx) {
			if err != nil {
				x.saveErr(err)
				return
			}
			x.Array(len(list))
			for _, s := range list {
				x.Map(6)
				x.pair("name", s.Name)
				x.pair("file", s.File)
				x.pair("kind", s.Kind)
				x.field64("bytes", s.Bytes)
				x.field64("saved", s.SavedUnix)
				x.pair("engine", s.Engine)
			}
		}
	})
}

func cmdSnapshotVerify(x *Ctx) {
	if x.noSnapshots("SNAPSHOT VERIFY") {
		return
	}
	name := string(x.Args[2])
	if name == "" {
		x.Err(errSnapshotName)
		return
	}
	snapshots := x.Snapshots
	x.AwaitReply(func() func(*Ctx) {
		r, err := snapshots.Verify(name)
		return func(x *Ctx) {
			if err != nil {
				x.saveErr(err)
				return
			}
			x.Map(9)
			x.pair("name", r.Name)
			x.field64("version", int64(r.Version))
			x.field64("bytes", r.Bytes)
			x.field64("keys", r.Keys)
			x.field64("expires", r.Expires)
			x.field64("expired", r.Expired)
			x.field64("databases", int64(r.Databases))
			x.flag("checksum", r.Checksum)
			x.double("seconds", r.Seconds)
		}
	})
}

// cmdSnapshotLoad replies the number of keys that it has loaded.
func cmdSnapshotLoad(x *Ctx) {
	if x.noSnapshots("SNAPSHOT LOAD") {
		return
	}
	name := string(x.Args[2])
	db, into, problem := parseLoad(x.Args[3:], x.Store.Databases())
	if name == "" {
		problem = errSnapshotName
	}
	if problem != "" {
		x.Err(problem)
		return
	}
	snapshots := x.Snapshots
	x.AwaitReply(func() func(*Ctx) {
		keys, err := snapshots.Load(name, db, into)
		return func(x *Ctx) {
			if err != nil {
				x.saveErr(err)
				return
			}
			x.Int(keys)
		}
	})
}

// parseLoad reads [DB n [INTO m]]; db is -1 if there is none. The dump may come
// from a server with more databases than this one has, if INTO says where to put it.
func parseLoad(args [][]byte, databases int) (db, into int, problem string) {
	switch {
	case len(args) == 0:
		return -1, -1, ""
	case len(args) == 2 && is(args[0], "db"):
		db, problem = parseDB(args[1], databases)
		return db, db, problem
	case len(args) == 4 && is(args[0], "db") && is(args[2], "into"):
		if db, problem = parseDB(args[1], math.MaxInt32); problem == "" {
			into, problem = parseDB(args[3], databases)
		}
		return db, into, problem
	}
	return 0, 0, errSyntax
}

// cmdSnapshotStatus replies all figures of the saver. "percent", "throttled" and
// the seconds of the last save are doubles.
func cmdSnapshotStatus(x *Ctx) {
	s := x.Saver.Info()
	x.Map(37)
	x.flag("in-progress", s.BgsaveInProgress)
	x.pair("engine", orNone(s.CurrentType))
	x.pair("reason", s.CurrentReason)
	x.pair("phase", s.CurrentPhase)
	x.pair("name", s.CurrentName)
	x.field64("keys-done", s.CurrentSaveKeysDone)
	x.field64("keys-total", s.CurrentSaveKeysTotal)
	x.double("percent", s.CurrentShare*100)
	x.field64("eta-seconds", s.CurrentETASeconds)
	x.field64("elapsed-seconds", s.CurrentBgsaveSeconds)
	x.field64("extra-bytes", s.CurrentExtraBytes)
	x.field64("limit-bytes", s.CurrentLimitBytes)
	x.double("throttled", s.CurrentThrottled)
	x.field64("child-pid", int64(s.ChildPID))
	x.flag("scheduled", s.Scheduled)
	x.field64("changes-since-last-save", s.ChangesSinceLastSave)
	x.field64("last-save-time", s.LastSaveUnix)
	x.field64("saves", s.Saves)
	x.pair("last-engine", orNone(s.LastType))
	x.pair("last-status", saveStatus(s.LastBgsaveOK))
	x.pair("last-reason", s.LastReason)
	x.pair("last-auto-reason", s.LastAutoReason)
	x.pair("last-error", s.LastError)
	x.pair("last-verified", s.LastVerified)
	x.field64("last-keys", s.LastKeys)
	x.field64("last-bytes", s.LastBytes)
	x.double("last-seconds", s.LastSeconds)
	x.double("last-verify-seconds", s.LastVerifySeconds)
	x.field64("last-pause-usec", s.LastPauseUsec)
	x.field64("last-clone-usec", s.LatestForkUsec)
	x.field64("last-extra-peak-bytes", s.LastExtraMemoryPeak)
	x.field64("last-cow-bytes", s.LastCOWBytes)
	x.field64("last-cow-faults", s.LastCOWFaults)
	x.flag("last-limit-reached", s.LastLimitReached)
	x.pair("last-hook", s.LastHook)
	x.field64("last-load-keys", s.LastLoadKeysLoaded)
	x.field64("forks", s.TotalForks)
}

// saveStatus is the word for how a save has ended.
func saveStatus(ok bool) string {
	if ok {
		return "ok"
	}
	return "err"
}

func (x *Ctx) flag(name string, on bool) {
	x.BulkString(name)
	x.Bool(on)
}
