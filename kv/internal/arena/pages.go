package arena

import (
	"math/bits"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Kind separates memory that is rewritten all the time from memory that is
// not: index segments and values never share a chunk, so that what a forked
// child makes the kernel copy stays dense. For the same reason what is written
// while a child lives has chunks of its own (AllocApart).
type Kind uint8

// The kinds of memory.
const (
	Data Kind = iota
	Index
	apart // runs of AllocApart, in heaps of any kind
	numKinds
)

func (k Kind) String() string { return [...]string{"data", "index", "apart"}[k] }

type chunkState uint8

const (
	chunkNever   chunkState = iota // beyond the high-water mark, never touched
	chunkReady                     // touched ahead, all pages free
	chunkData                      // pages belong to runs of kind Data
	chunkIndex                     // pages belong to runs of kind Index
	chunkApart                     // pages belong to runs of AllocApart
	chunkLeft                      // the same, from before the newest cut: nothing is added
	chunkReserve                   // touched, all pages free, for AllocApart
	chunkEmpty                     // all pages free, to be given back
	chunkGone                      // given back to the system
	chunkBusy                      // in the keeper's hands
)

const chunkWords = pagesPerChunk / 64

// hintLevels: one hint per power of two of the pages wanted, 1..512.
const hintLevels = 10

// pages is the page allocator. All of it is guarded by Arena.mu.
type pages struct {
	chunkFree  [][chunkWords]uint64 // by chunk: 1 = page is free
	chunkMax   []uint16             // by chunk: longest range of free pages
	chunkState []chunkState
	top        int // chunks below top have been used

	// No chunk of the kind below hints[kind][k] has 1<<k free pages in a row.
	hints [numKinds][hintLevels]int

	ready []int // chunks touched ahead
	empty []int // chunks to give back
	gone  []int // chunks given back

	freeRuns   []uint32 // IDs of unused run records
	topRun     uint32
	inUse      int64  // pages in runs
	apartPages int64  // of them, in runs of AllocApart
	hugeOff    string // why there are no huge pages, "" if there are
	resident   int    // chunks touched and not given back
	joining    int    // chunk in the collapser's hands, which must not be given back; 0: none

	keeper keeper
}

func (a *Arena) initPages() {
	// Chunk 0 is never handed out (nor touched), so that Ref 0 is nil.
	a.chunkState[0] = chunkBusy
	a.top = 1
	a.topRun = 1
	a.pages.keeper.init()
}

func chunkOf(page uint32) int { return int(page / pagesPerChunk) }

// allocPages returns the first page of n contiguous ones.
func (a *Arena) allocPages(n int, kind Kind) (page uint32, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n > pagesPerChunk {
		page, ok = a.allocSpan(n)
	} else {
		page, ok = a.allocWithin(n, kind)
	}
	if ok {
		a.inUse += int64(n)
		if kind == apart {
			a.apartPages += int64(n)
		}
	}
	return page, ok
}

func stateOf(kind Kind) chunkState {
	return [...]chunkState{Data: chunkData, Index: chunkIndex, apart: chunkApart}[kind]
}

// kindOf is the inverse of stateOf, for chunks with pages in runs.
func kindOf(s chunkState) Kind {
	switch s {
	case chunkIndex:
		return Index
	case chunkApart, chunkLeft:
		return apart
	}
	return Data
}

func (a *Arena) allocWithin(n int, kind Kind) (uint32, bool) {
	level := bits.Len(uint(n)) - 1
	want := stateOf(kind)
	hint := &a.hints[kind][level]
	exact := n == 1<<level
	c := *hint
	for ; c < a.top; c++ {
		if int(a.chunkMax[c]) >= n && a.chunkState[c] == want {
			break
		}
	}
	if exact {
		*hint = c // nothing below c has n = 1<<level free pages
	}
	if c == a.top {
		var ok bool
		if kind == apart {
			c, ok = a.takeReserve()
		}
		if !ok {
			c, ok = a.takeChunk()
		}
		if !ok {
			return 0, false
		}
		a.chunkState[c] = want
		a.lowerHints(c, kind)
	}
	first := findFree(&a.chunkFree[c], n)
	setBits(&a.chunkFree[c], first, n, false)
	a.chunkMax[c] = longestFree(&a.chunkFree[c])
	return uint32(c*pagesPerChunk + first), true
}

// lowerHints notes that chunk c has chunkMax[c] free pages in a row.
func (a *Arena) lowerHints(c int, kind Kind) {
	for k := 0; k < hintLevels && 1<<k <= int(a.chunkMax[c]); k++ {
		a.hints[kind][k] = min(a.hints[kind][k], c)
	}
}

// takeChunk returns a chunk all of whose pages are free, a touched one if there
// is any.
func (a *Arena) takeChunk() (int, bool) {
	defer a.wakeKeeper()
	c, touched, ok := a.spareChunk()
	if ok && !touched {
		a.resident++
	}
	return c, ok
}

// spareChunk takes a chunk all of whose pages are free from the lists, or a new
// one. It tells whether it has been touched.
func (a *Arena) spareChunk() (c int, touched, ok bool) {
	for _, list := range []*[]int{&a.ready, &a.empty, &a.gone} {
		if n := len(*list); n > 0 {
			c := (*list)[n-1]
			*list = (*list)[:n-1]
			return c, list != &a.gone, true
		}
	}
	c, ok = a.newChunk()
	return c, false, ok
}

// newChunk raises the high-water mark by one chunk.
func (a *Arena) newChunk() (int, bool) {
	if a.top >= len(a.chunkState) {
		return 0, false
	}
	c := a.top
	a.top++
	for i := range a.chunkFree[c] {
		a.chunkFree[c][i] = ^uint64(0)
	}
	a.chunkMax[c] = pagesPerChunk
	return c, true
}

// allocSpan finds room for a block larger than a chunk: contiguous chunks, the
// last of which keeps its spare pages for other runs.
func (a *Arena) allocSpan(n int) (uint32, bool) {
	chunks := (n + pagesPerChunk - 1) / pagesPerChunk
	first := a.findChunks(chunks)
	if first < 0 {
		return 0, false
	}
	for i := range chunks {
		c := first + i
		if a.chunkState[c] == chunkGone || a.chunkState[c] == chunkNever {
			a.resident++
		}
		a.chunkState[c] = chunkData
		used := min(n-i*pagesPerChunk, pagesPerChunk)
		setBits(&a.chunkFree[c], 0, used, false)
		a.chunkMax[c] = uint16(pagesPerChunk - used)
	}
	a.lowerHints(first+chunks-1, Data)
	return uint32(first * pagesPerChunk), true
}

// findChunks takes the first n free chunks in a row from the lists and returns
// the first, or -1.
func (a *Arena) findChunks(n int) int {
	run := 0
	for c := 1; c < len(a.chunkState); c++ {
		switch a.chunkState[c] {
		case chunkReady, chunkEmpty, chunkGone:
			run++
		case chunkNever:
			if n-run > len(a.chunkState)-a.top {
				return -1
			}
			for ; run < n; run++ {
				a.newChunk()
			}
			a.unlist(a.top-n, n)
			return a.top - n
		default:
			run = 0
		}
		if run == n {
			a.unlist(c-n+1, n)
			return c - n + 1
		}
	}
	return -1
}

// unlist removes the chunks [first, first+n) from the lists of free chunks.
func (a *Arena) unlist(first, n int) {
	for _, list := range []*[]int{&a.ready, &a.empty, &a.gone} {
		kept := (*list)[:0]
		for _, c := range *list {
			if c < first || c >= first+n {
				kept = append(kept, c)
			}
		}
		*list = kept
	}
}

// freePages takes back n pages. Chunks that become wholly free are given back
// to the system by the keeper, but for a few.
func (a *Arena) freePages(page uint32, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inUse -= int64(n)
	for n > 0 {
		c := chunkOf(page)
		first := int(page % pagesPerChunk)
		k := min(n, pagesPerChunk-first)
		setBits(&a.chunkFree[c], first, k, true)
		a.chunkMax[c] = longestFree(&a.chunkFree[c])
		kind := kindOf(a.chunkState[c])
		if kind == apart {
			a.apartPages -= int64(k)
		}
		if a.chunkMax[c] == pagesPerChunk {
			a.chunkState[c] = chunkEmpty
			a.empty = append(a.empty, c)
			a.wakeKeeper()
		} else {
			a.lowerHints(c, kind)
		}
		page += uint32(k)
		n -= k
	}
}

func (a *Arena) chunkBytes(c int) []byte { return a.chunksBytes(c, 1) }

func (a *Arena) chunksBytes(c, n int) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(a.base, c*ChunkSize)), n*ChunkSize)
}

func (a *Arena) discard(c int) error {
	side := a.side[c*ChunkSize/SideRatio : (c+1)*ChunkSize/SideRatio]
	if err := unix.Madvise(side, unix.MADV_DONTNEED); err != nil {
		return err
	}
	return unix.Madvise(a.chunkBytes(c), unix.MADV_DONTNEED)
}

// setBits sets n bits from first on to v.
func setBits(m *[chunkWords]uint64, first, n int, v bool) {
	for n > 0 {
		w, b := first/64, first%64
		k := min(n, 64-b)
		mask := (^uint64(0) >> (64 - k)) << b
		if v {
			m[w] |= mask
		} else {
			m[w] &^= mask
		}
		first += k
		n -= k
	}
}

// eachFree calls fn for every maximal range of set bits until it returns false.
func eachFree(m *[chunkWords]uint64, fn func(first, n int) bool) {
	start, pos := -1, 0
	for w, word := range m {
		for b := 0; b < 64; {
			rest := word >> b
			if start < 0 {
				skip := bits.TrailingZeros64(rest)
				if skip >= 64-b {
					break
				}
				b += skip
				start = w*64 + b
				continue
			}
			ones := bits.TrailingZeros64(^rest)
			if ones >= 64-b {
				break
			}
			b += ones
			if !fn(start, w*64+b-start) {
				return
			}
			start = -1
		}
		pos = (w + 1) * 64
	}
	if start >= 0 {
		fn(start, pos-start)
	}
}

func findFree(m *[chunkWords]uint64, n int) (at int) {
	at = -1
	eachFree(m, func(first, k int) bool {
		if k >= n {
			at = first
		}
		return at < 0
	})
	return at
}

func longestFree(m *[chunkWords]uint64) uint16 {
	longest := 0
	eachFree(m, func(_, k int) bool { longest = max(longest, k); return true })
	return uint16(longest)
}
