// Package fork clones the serving Go process, without exec, and runs one Go
// function in the child. The child sees the memory of the parent as it was at
// the clone, copy-on-write, while the parent goes on. Linux on amd64 and arm64
// only; it imports the standard library and golang.org/x/sys/unix, and knows
// nothing of stores or file formats.
//
// # The three steps of a job
//
//	job, err := forker.Prepare(Options{Body: …})   slow: maps the page, starts the thread
//	err = job.Fork(hold, release)                  hold, clone(2), release: nothing else between
//	result := job.Wait()                           asynchronous; SampleCopied and Kill meanwhile
//	job.Close()                                    frees the page
//
// hold and release run on the goroutine that forks, so that no hand-over
// between threads falls between them: writers are held for the clone alone.
//
// # Rules for code that runs in the child
//
// The child has one thread, the one that called clone, and no scheduler, no
// collector and no locks that anybody would ever release: whatever another
// thread held at the clone stays held for ever. Ordinary Go functions run, if
// they keep to this list:
//
//  1. Never allocate. mallocgc may take the locks of the heap (mheap_.lock,
//     mcentral), and a thread that does not exist may hold them. Check the body
//     with testing.AllocsPerRun and the output of -gcflags=-m.
//  2. Never lock, and call nothing that does: sync.Mutex, channels, maps, type
//     assertions to interface types (runtime.getitab locks its table), fmt,
//     log, os, time zones.
//  3. Pointers may be written: the child turns the write barrier off, which may
//     have been on at the clone and whose buffer would overflow into the
//     collector. Avoid it all the same, -gcflags=-d=wb finds them.
//  4. Never grow the stack: newstack calls stackalloc, which takes mheap_.lock.
//     Two of a thousand children hung there under permanent collection. The
//     body is called with at least [StackFree] bytes below it; recursion must
//     be bounded and frames small.
//  5. System calls by syscall.RawSyscall only ([RawWrite], [RawFsync], …):
//     syscall.Syscall enters the scheduler.
//  6. No defer that is not open-coded, no recover. A panic ends the child, always:
//     its thread is pinned (runtime.procPin: m.locks > 0), and a panic with locks
//     held is a fatal error before any deferred function runs, so that the child
//     cannot be recovered into a second server by a frame above the fork.
//     For the same reason a child that gets into the scheduler dies instead of
//     running another goroutine of the server.
//  7. Report with [Page]: its methods keep to these rules. Everything the body
//     needs is built before the clone and captured by the closure.
//
// In the parent the opposite holds: never a raw call that can block, since it
// keeps its P and a stop-the-world would wait for the disk. clone(2) itself is
// such a call; it takes as long as the kernel needs to copy the page tables.
//
// # How the clone is made
//
// syscall.runtime_BeforeFork, AfterFork and AfterForkInChild are the runtime's
// own hooks around fork, kept reachable by linkname (go.dev/issue/67401, for
// gVisor). BeforeFork blocks all signals and poisons the stack guard;
// AfterForkInChild sets every signal that Go handles back to its default;
// AfterFork restores guard and mask, and here runs in the child as well: the
// os/exec path of the runtime does not need that since it execs at once.
//
// The clone is called from one permanent goroutine locked to its thread, since
// PR_SET_PDEATHSIG follows the thread that forked, not the process. That
// goroutine has no defer, and lives below nested frames of 64 KiB arrays: the
// collector shrinks a stack of which less than a quarter is in use, and a probe
// that went as deep again before the first clone has made it large enough. A single larger array
// would not do: the compiler moves variables above 128 KiB to the heap.
//
// # What the child is, seen from outside
//
// Its own process group (a terminal's Ctrl-C does not end a save half-way and
// unseen), SIGKILL when the parent dies, name [Options].Name in ps, no core
// dump (it would be as large as the store), SIGPIPE and SIGXFSZ ignored so that
// they become errors, every descriptor closed but those asked for, and standard
// error in a memory file that the parent quotes when the child dies.
//
// A save has succeeded if the child left its done-record in the shared page and
// its exit status is 0. Only the child's own pid is waited for: SIGCHLD and the
// other children of the host program are left alone. If the host has set
// SIGCHLD to be ignored, or reaps every child itself, the exit status is lost
// ([Result].StatusKnown is false) and the done-record alone decides, once the
// pid has gone.
//
// Sources: runtime/proc.go (syscall_runtime_BeforeFork and the following),
// runtime/stack.go (newstack, shrinkstack), runtime/panic.go (gopanic),
// runtime/mbarrier.go, syscall/exec_linux.go, and the man pages clone(2),
// prctl(2), close_range(2), wait(2), proc_pid_smaps(5).
package fork
