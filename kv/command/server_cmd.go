package command

import (
	"fmt"
	"runtime/debug"
	"strconv"
	"time"

	"kvd/kv/resp"
)

func cmdDBSize(x *Ctx) { x.Int(x.Store.Len(x.Client.db)) }

func cmdTime(x *Ctx) {
	now := time.Now().UnixMicro()
	x.Array(2)
	x.BulkInt(now / 1e6)
	x.BulkInt(now % 1e6)
}

// flushArgsOK checks the arguments of FLUSHALL and FLUSHDB: kvd gives memory
// back in the background in any case, so that both modes do the same.
func flushArgsOK(args [][]byte) bool {
	return len(args) == 1 || len(args) == 2 && (is(args[1], "async") || is(args[1], "sync"))
}

func cmdFlushDB(x *Ctx) {
	if !flushArgsOK(x.Args) {
		x.Err(errSyntax)
		return
	}
	x.Tx.FlushDB(x.Client.db)
	x.databaseReady(x.Client.db)
	x.OK()
}

func cmdFlushAll(x *Ctx) {
	if !flushArgsOK(x.Args) {
		x.Err(errSyntax)
		return
	}
	x.Tx.FlushAll()
	for db := range x.Store.Databases() {
		x.databaseReady(db)
	}
	x.OK()
}

func beforeFlushAll(x *Ctx) {
	if flushArgsOK(x.Args) {
		saver := x.Saver
		if x.InExec || !x.Awaiting() && !saver.Info().BgsaveInProgress {
			saver.BeforeFlushAll()
			return
		}
		x.Await(func() (string, error) { saver.BeforeFlushAll(); return "", nil })
	}
}

func afterFlushAll(x *Ctx) {
	if flushArgsOK(x.Args) {
		x.Saver.AfterFlushAll()
	}
}

func cmdSwapDB(x *Ctx) {
	a, ok := resp.ParseInt(x.Args[1])
	if !ok || a != int64(int32(a)) {
		x.Err(errSwapFirst)
		return
	}
	b, ok := resp.ParseInt(x.Args[2])
	if !ok || b != int64(int32(b)) {
		x.Err(errSwapSecond)
		return
	}
	if n := int64(x.Store.Databases()); a < 0 || b < 0 || a >= n || b >= n {
		x.Err(errDBRange)
		return
	}
	x.Tx.SwapDB(int(a), int(b))
	x.databaseReady(int(a))
	x.databaseReady(int(b))
	x.OK()
}

func cmdShutdown(x *Ctx) {
	var o ShutdownOptions
	for _, a := range x.Args[1:] {
		switch {
		case is(a, "save"):
			o.Save = true
		case is(a, "nosave"):
			o.NoSave = true
		case is(a, "now"):
			o.Now = true
		case is(a, "force"):
			o.Force = true
		case is(a, "abort"):
			o.Abort = true
		default:
			x.Err(errSyntax)
			return
		}
	}
	switch {
	case o.Save && o.NoSave || o.Abort && (o.Save || o.NoSave || o.Now || o.Force):
		x.Err(errSyntax)
	case o.Abort: // a shutdown does not wait for anything that could be aborted
		x.Err(errNoShutdown)
	default:
		if x.IsLoading() {
			o.Save, o.NoSave = false, true
		}
		if err := x.Shutdown(o); err != nil {
			x.Log.Warn("SHUTDOWN failed: " + err.Error())
			x.Err(errShutdown)
			return
		}
		x.closeSoon()
	}
}

var functionHelp = helpText("FUNCTION",
	"DELETE <library>", "Delete a library.",
	"FLUSH [ASYNC|SYNC]", "Delete all libraries.",
	"KILL", "Stop the function that is running.",
	"LIST [LIBRARYNAME <pattern>] [WITHCODE]", "List the libraries.",
	"STATS", "Tell which function runs.",
)

// There are no functions yet: these answer as Redis does when it has none.

func cmdFunctionHelp(x *Ctx)   { x.Strings(functionHelp) }
func cmdFunctionDelete(x *Ctx) { x.Err(errNoLibrary) }
func cmdFunctionKill(x *Ctx)   { x.Err(errNotBusy) }

func cmdFunctionFlush(x *Ctx) {
	switch {
	case len(x.Args) > 3:
		x.Err(sprintf(errSubArgs, cText(x.Args[1], len(x.Args[1])), "FUNCTION"))
	case len(x.Args) == 3 && !is(x.Args[2], "async") && !is(x.Args[2], "sync"):
		x.Err(errFunctionFlush)
	default:
		x.OK()
	}
}

func cmdFunctionList(x *Ctx) {
	for i := 2; i < len(x.Args); i++ {
		switch a := x.Args[i]; {
		case is(a, "withcode"):
		case is(a, "libraryname") && i+1 < len(x.Args):
			i++
		case is(a, "libraryname"):
			x.Err(errLibraryName)
			return
		default:
			x.Errf(errFunctionArgument, cText(a, len(a)))
			return
		}
	}
	x.Array(0)
}

func cmdFunctionStats(x *Ctx) {
	x.Map(2)
	x.BulkString("running_script")
	x.Null()
	x.BulkString("engines")
	x.Map(0)
}

var memoryHelp = helpText("MEMORY",
	"DOCTOR", "Report problems with the memory.",
	"MALLOC-STATS", "Return the use of the arena by purpose.",
	"PURGE", "Give unused memory back to the system.",
	"STATS", "Return the use of memory by purpose.",
	"USAGE <key> [SAMPLES <count>]", "Return the bytes that a key takes.",
)

func cmdMemoryHelp(x *Ctx) { x.Strings(memoryHelp) }

func cmdMemoryUsage(x *Ctx) {
	for a := x.Args[3:]; len(a) > 0; a = a[2:] {
		if len(a) < 2 || !is(a[0], "samples") {
			x.Err(errSyntax)
			return
		}
		n, ok := x.parseInt(a[1])
		if !ok {
			return
		}
		if n < 0 {
			x.Err(errSyntax)
			return
		}
	}
	if n, ok := x.Tx.MemoryUsage(x.Client.db, x.Args[2]); ok {
		x.Int(n)
	} else {
		x.Null()
	}
}

func cmdMemoryPurge(x *Ctx) {
	debug.FreeOSMemory()
	x.OK()
}

func cmdMemoryDoctor(x *Ctx) {
	m := x.memory()
	switch {
	case m.Used < 5<<20:
		x.Verbatim("txt", "There is next to nothing in memory: no figure would mean anything.\n")
	case float64(m.Peak) > 1.5*float64(m.Used):
		x.Verbatim("txt", "The peak was more than 1.5 times of what is used now: the process may hold memory that is free for later writes.\n")
	case float64(m.rss) > 1.4*float64(m.Used):
		x.Verbatim("txt", "The process is more than 1.4 times as large as the memory in use: it is fragmented, or a save is running.\n")
	default:
		x.Verbatim("txt", "No problem was found.\n")
	}
}

func cmdMemoryMallocStats(x *Ctx) {
	m := x.memory()
	s := ""
	for _, p := range m.purposes() {
		s += fmt.Sprintf("%-10s %d\n", p.name, p.bytes)
	}
	x.Verbatim("txt", s)
}

func cmdMemoryStats(x *Ctx) {
	m := x.memory()
	keys, dbs := int64(0), []int{}
	for db := range x.Store.Databases() {
		if n := x.Store.Len(db); n > 0 {
			keys += n
			dbs = append(dbs, db)
		}
	}
	perKey := int64(0)
	if keys > 0 {
		perKey = max(m.Used-m.startup, 0) / keys
	}
	x.Map(27 + len(dbs))
	x.field64("peak.allocated", m.Peak)
	x.field64("total.allocated", m.Used)
	x.field64("startup.allocated", m.startup)
	x.field64("replication.backlog", 0)
	x.field64("clients.slaves", 0)
	x.field64("clients.normal", m.clients)
	x.field64("cluster.links", 0)
	x.field64("aof.buffer", 0)
	x.field64("lua.caches", 0)
	x.field64("functions.caches", 0)
	for _, db := range dbs {
		x.BulkString("db." + strconv.Itoa(db))
		x.Map(3)
		x.field64("overhead.hashtable.main", m.Index*x.Store.Len(db)/keys)
		x.field64("overhead.hashtable.expires", 0) // expiry times stand with the entries
		x.field64("overhead.hashtable.slot-to-keys", 0)
	}
	x.field64("overhead.total", m.overhead())
	x.field64("keys.count", keys)
	x.field64("keys.bytes-per-key", perKey)
	x.field64("dataset.bytes", m.dataset())
	x.double("dataset.percentage", m.datasetPercent())
	x.double("peak.percentage", ratio(m.Used, m.Peak)*100)
	x.field64("allocator.allocated", m.Used)
	x.field64("allocator.active", m.active())
	x.field64("allocator.resident", m.rss)
	x.double("allocator-fragmentation.ratio", ratio(m.active(), m.Used))
	x.field64("allocator-fragmentation.bytes", m.active()-m.Used)
	x.double("allocator-rss.ratio", ratio(m.rss, m.active()))
	x.field64("allocator-rss.bytes", m.rss-m.active())
	x.double("rss-overhead.ratio", 1)
	x.field64("rss-overhead.bytes", 0)
	x.double("fragmentation", ratio(m.rss, m.Used))
	x.field64("fragmentation.bytes", m.rss-m.Used)
}

func (x *Ctx) field64(name string, n int64) {
	x.BulkString(name)
	x.Int(n)
}

func (x *Ctx) double(name string, f float64) {
	x.BulkString(name)
	x.Double(f)
}
