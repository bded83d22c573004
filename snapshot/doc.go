// Package snapshot saves a kv.Store to an RDB file and loads it, as a library
// ([Save], [Load], [Restore] into a running store) and as the background saver of
// a server ([Manager]).
//
//	res, err := snapshot.Save(ctx, store, "/data/dump.rdb", snapshot.Options{Engine: snapshot.Thread})
//	got, err := snapshot.Load(ctx, store, "/data/dump.rdb", snapshot.LoadOptions{})
//
// # How a save goes
//
//	        temporary file    cut            last encoded byte    fsync, rename, fsync of the directory
//	             |             |                    |                         |
//	------------[+]-----------[+]------------------[+]-----------------------[+]---->
//	                           |<--- View lives --->|
//
// The engines differ in how the cut is held still and in who walks it; walker,
// encoder and file are the same for all:
//
//	Fork        a clone of the process walks; the kernel copies what the parent writes
//	Thread      a thread at low priority walks; writers copy what they are about to change
//	Copy        everything is copied under the locks; then the same thread walks the copy
//	Foreground  the caller walks, and every writer waits
//
// # Invariants
//
//  1. The dump is the state of the store at one instant, whatever engine wrote it:
//     expired keys that were not deleted are in it, no half of an Update is.
//  2. Until the rename the old dump is untouched. Whatever goes wrong, the
//     temporary file goes away: by Abort, or, if the process died, by
//     [RemoveStale] at the next start, which recognises by a file lock those that a
//     live server writes.
//  3. What runs in the forked child (dump.go and childsink.go) neither allocates nor locks:
//     see package fork. TestChildFiles holds it to that.
//  4. The niced threads never take a lock that a client may need: the View is
//     closed, and what Restore has parsed is inserted, by goroutines of ordinary
//     priority.
//
// The package imports kv, snapshot/rdb, snapshot/value, which makes records of values,
// and snapshot/internal/fork, and knows nothing of commands, configuration files or connections.
package snapshot
