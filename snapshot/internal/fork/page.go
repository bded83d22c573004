package fork

import (
	"sync/atomic"
	"syscall"
)

// Phase says what the child is doing.
type Phase uint32

const (
	PhaseStarting Phase = iota // between clone and the body
	PhaseWriting               // the body has begun
	PhaseSyncing               // the body waits for the disk
	PhaseDone                  // the body has returned
)

// String names the phase for logs and errors.
func (p Phase) String() string {
	switch p {
	case PhaseStarting:
		return "starting"
	case PhaseWriting:
		return "writing"
	case PhaseSyncing:
		return "fsync"
	case PhaseDone:
		return "done"
	}
	return "unknown"
}

// doneMagic is written to the page as the last act of a body that returned 0.
const doneMagic = 0x6b76_646f_6b21_0001

// Page is the memory that parent and child share. The child writes, the parent
// reads; every field is one word of its own. A zero Page on the heap works too,
// which is how a body is tested without a fork.
type Page struct {
	Keys  atomic.Int64 // keys written so far
	Bytes atomic.Int64 // bytes written so far
	Work  atomic.Int64 // how much of it is done, in the body's own units

	// Figures are for the body's own results, such as a checksum or counts.
	Figures [16]atomic.Uint64

	beat    atomic.Uint64 // counts Beat
	phase   atomic.Uint32
	done    atomic.Uint64 // doneMagic
	code    atomic.Int32  // what the body returned
	errNo   atomic.Int32
	errLen  atomic.Int32 // bytes of errText; 0: no error was reported
	errText [256]byte
	copied  atomic.Int64  // Private_Dirty at the end of the child, bytes; 0: not measured
	scratch [4 << 10]byte // smaps_rollup is read into it
}

// SetPhase announces a phase. It counts as progress.
func (p *Page) SetPhase(ph Phase) { p.phase.Store(uint32(ph)); p.beat.Add(1) }

// Phase returns the phase that was announced last.
func (p *Page) Phase() Phase { return Phase(p.phase.Load()) }

// Beat tells the watchdog that the body lives though neither Keys nor Bytes
// change. Cheap: one atomic add.
func (p *Page) Beat() { p.beat.Add(1) }

// Fail records why the body gives up and returns 1, for `return p.Fail(…)`.
// what names the step that failed, at most 256 bytes are kept; errno may be 0.
func (p *Page) Fail(what string, errno syscall.Errno) int32 {
	n := copy(p.errText[:], what)
	p.errNo.Store(int32(errno))
	p.errLen.Store(int32(n))
	return 1
}

// writePiece bounds one write, so that a slow disk still shows progress.
const writePiece = 1 << 20

// Write writes all of b to the descriptor and counts Bytes as it goes. It
// returns 0 or the error; part of b may have been written then.
func (p *Page) Write(fd int, b []byte) syscall.Errno {
	for len(b) > 0 {
		n := min(len(b), writePiece)
		if errno := RawWrite(fd, b[:n]); errno != 0 {
			return errno
		}
		p.Bytes.Add(int64(n))
		b = b[n:]
	}
	return 0
}

// progress changes whenever the child does anything that it reports.
func (p *Page) progress() [4]uint64 {
	return [4]uint64{uint64(p.Keys.Load()), uint64(p.Bytes.Load()), uint64(p.Work.Load()), p.beat.Load()}
}
