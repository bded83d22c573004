// Package arena is kvd's memory for data: one big reserved range outside the
// Go heap, so that the collector neither scans nor moves nor marks it and a
// forked child shares it page by page.
//
//	reserved range (MAP_NORESERVE, MADV_HUGEPAGE)
//	+---------+---------+---------+-----
//	| chunk 0 | chunk 1 | chunk 2 | ...      2 MiB each, one huge page
//	+---------+---------+---------+-----
//	     |
//	     +-- pages of 4 KiB, handed out as runs (1..512 pages; a large block
//	         may span chunks)
//	              |
//	              +-- a run belongs to one Heap and holds slots of one size
//
// A Ref is the offset of a block in the range; 0 is nil (chunk 0 is
// never handed out). All bookkeeping (which page belongs to which run,
// which slots are used) lives outside the data pages in tables of its own that
// never move: freeing a block does not write to the data, so it does not make
// the kernel copy a page that a forked child still shares.
//
// # Locks
//
// A Heap is owned by whoever holds its shard's lock. Runs, and the slots in
// them, are changed under that lock only. Pages and chunks are shared between
// heaps and guarded by the Arena's own mutex, which is held for nanoseconds
// and never while memory is touched for the first time.
//
// # Cuts
//
// BeginCut, called with every shard locked, makes all blocks that are allocated
// at that moment "shared by the cut". Shared tells whether a block is one of
// them. The information costs nothing until a run changes: the first
// allocation or free in a run after the cut keeps a copy of its bitmap as of
// the cut. Slots that were free at the cut may be used at once.
//
// Where the cut is a clone of the process, what is written beside the child goes to
// chunks of its own (AllocApart), some of which the child does not even get
// (PrepareFork). Afterwards the owner moves it back (NextApart), and then what lies
// in sparse runs together (Evacuate).
//
// The package may use unsafe; everything above it works on slices.
package arena

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Ref is the address of a block: its offset in the reserved range. It fits in
// 48 bits and is a multiple of 8. Zero is nil.
type Ref uint64

// Sizes of the units that memory is handed out in, in bytes.
const (
	pageShift     = 12
	PageSize      = 1 << pageShift
	chunkShift    = 21
	ChunkSize     = 1 << chunkShift
	pagesPerChunk = ChunkSize / PageSize
)

// DefaultReserve is the address range, in bytes, that New asks for; a system
// that refuses it gets a smaller one. It costs no memory.
const (
	DefaultReserve = 1 << 40
	minReserve     = 1 << 30
)

// ErrNoMemory says that the reserved range is used up.
var ErrNoMemory = errors.New("arena: the reserved address range is used up")

// Arena is the reserved range and its page allocator. See the package comment
// for what guards what.
type Arena struct {
	base unsafe.Pointer // start of the data range, 2 MiB-aligned
	size uint64

	side    []byte   // one byte for every 8 of data, see Side
	pageRun []uint32 // page number -> run ID; only first pages for large runs
	runs    []run    // by run ID; ID 0 is nil

	maps [][]byte // what New mapped, for Close

	epoch uint32 // of the newest cut; written with every shard locked
	live  bool   // a cut is live: frees and allocations keep cut bitmaps

	mu sync.Mutex
	pages

	collapser collapser
	reserve   reserve
}

// New reserves an arena of at most reserve bytes (0 means DefaultReserve),
// halving the wish until the system grants it and, for the Go heap, a part as large as headroom more:
// where a process may map so much and no more (ulimit -v), deleting under a cut takes memory of Go's.
func New(reserve uint64) (*Arena, error) {
	if reserve == 0 {
		reserve = DefaultReserve
	}
	var err error
	for ; reserve >= minReserve; reserve /= 2 {
		var a *Arena
		if a, err = reserveArena(reserve &^ (ChunkSize - 1)); err != nil {
			continue
		}
		if reserve/2 < minReserve || a.hasRoom(reserve/headroom) {
			return a, nil
		}
		if err = a.unmap(); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("arena: cannot reserve an address range: %w", err)
}

// headroom is the share of the range, as its reciprocal, that must be left to map.
const headroom = 4

// hasRoom tells whether n bytes more could be mapped.
func (a *Arena) hasRoom(n uint64) bool {
	m, err := unix.Mmap(-1, 0, int(n), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	return err == nil && unix.Munmap(m) == nil
}

// mapRange maps n bytes of zeroed memory that costs nothing until touched.
func (a *Arena) mapRange(n uint64) ([]byte, error) {
	m, err := unix.Mmap(-1, 0, int(n), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err == nil {
		a.maps = append(a.maps, m)
	}
	return m, err
}

func reserveArena(size uint64) (_ *Arena, err error) {
	a := &Arena{size: size}
	a.reserve.advise = unix.Madvise
	defer func() {
		if err != nil {
			_ = a.unmap()
		}
	}()
	data, err := a.mapRange(size + ChunkSize)
	if err != nil {
		return nil, err
	}
	start := uintptr(unsafe.Pointer(unsafe.SliceData(data)))
	skip := -start & (ChunkSize - 1)
	a.base = unsafe.Pointer(unsafe.SliceData(data[skip:]))
	// Without huge pages (kernel built or set so) everything works, a fork
	// only takes longer; Stats tells.
	a.hugeOff = hugeOff()
	if err := unix.Madvise(data[skip:skip+uintptr(size)], unix.MADV_HUGEPAGE); err != nil && a.hugeOff == "" {
		a.hugeOff = "madvise: " + err.Error()
	}

	if a.side, err = mapTable[byte](a, size/SideRatio); err != nil {
		return nil, err
	}
	npages := size / PageSize
	if a.pageRun, err = mapTable[uint32](a, npages); err != nil {
		return nil, err
	}
	if a.runs, err = mapTable[run](a, npages+1); err != nil { // a run may be one page
		return nil, err
	}
	nchunks := size / ChunkSize
	if a.chunkFree, err = mapTable[[chunkWords]uint64](a, nchunks); err != nil {
		return nil, err
	}
	if a.chunkMax, err = mapTable[uint16](a, nchunks); err != nil {
		return nil, err
	}
	if a.chunkState, err = mapTable[chunkState](a, nchunks); err != nil {
		return nil, err
	}
	a.initPages()
	a.initCollapser()
	return a, nil
}

// mapTable maps a table of n elements that the forked child does not get: it
// walks data and never allocates, so the table's pages need not be shared and
// are not copied when the parent changes them.
func mapTable[T any](a *Arena, n uint64) ([]T, error) {
	var t T
	m, err := a.mapRange(n * uint64(unsafe.Sizeof(t)))
	if err != nil {
		return nil, err
	}
	if err := unix.Madvise(m, unix.MADV_DONTFORK); err != nil {
		return nil, err
	}
	// Small pages: the tables are sparse and an empty server must stay small.
	if err := unix.Madvise(m, unix.MADV_NOHUGEPAGE); err != nil && err != unix.EINVAL {
		return nil, err
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(m))), n), nil
}

// Close gives the whole range back. No block may be used afterwards.
func (a *Arena) Close() error {
	a.stopCollapser()
	a.stopKeeper()
	return a.unmap()
}

func (a *Arena) unmap() (err error) {
	for _, m := range a.maps {
		if e := unix.Munmap(m); e != nil {
			err = e
		}
	}
	a.maps = nil
	return err
}

// Reserved returns the size of the reserved range in bytes.
func (a *Arena) Reserved() int64 { return int64(a.size) }

// Bytes returns the n bytes of the block at ref. The slice is borrowed: it is
// valid until the block is freed. n must not exceed the block's size.
func (a *Arena) Bytes(ref Ref, n int) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(a.base, uintptr(ref))), n)[:n:n]
}

// Words returns the block at ref as n words of 8 bytes, borrowed like Bytes.
func (a *Arena) Words(ref Ref, n int) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Add(a.base, uintptr(ref))), n)[:n:n]
}

// SideRatio is the number of data bytes that share one byte of side memory.
const SideRatio = 8

// Side returns the side bytes of the n data bytes at ref: memory of the owner's
// that lies outside the data pages, so that writing to it (access clocks) never
// makes the kernel copy a page that a forked child shares. A forked child
// has none of it. n must be a multiple of SideRatio. Its content is undefined
// when a block is allocated, as that of the block is.
func (a *Arena) Side(ref Ref, n int) []byte {
	i := uint64(ref) / SideRatio
	j := i + uint64(n)/SideRatio
	return a.side[i:j:j]
}

// Prefetch asks the memory system for the n bytes at ref, at least for the first, where they are
// about to be read: it goes on at once, and blocks asked for together are fetched together.
func (a *Arena) Prefetch(ref Ref, n int) {
	prefetch(unsafe.Add(a.base, uintptr(ref)), uintptr(n))
}

// Ptr returns the address of the block at ref, for packages that lay a struct
// over it.
func (a *Arena) Ptr(ref Ref) unsafe.Pointer { return unsafe.Add(a.base, uintptr(ref)) }

// Byte returns the byte at ref + off.
func (a *Arena) Byte(ref Ref, off int) byte {
	return *(*byte)(unsafe.Add(a.base, uintptr(ref)+uintptr(off)))
}
