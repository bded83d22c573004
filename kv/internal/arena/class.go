package arena

import "math/bits"

// Size classes: multiples of 8 up to 128 bytes, then eight steps to each
// doubling, so that at most 12.5 % of a block is waste, up to MaxSmall. What is
// larger gets a run of its own, rounded up to whole pages.
const (
	MaxSmall   = 32 << 10
	linearMax  = 128
	numLinear  = linearMax/8 + 1 // index = size/8; 0 and 1 are both 16 bytes
	numClasses = numLinear + 8*8
	largeClass = numClasses // runs of one slot

	maxSlots  = 1024 // per run, bounds the bitmaps
	mapWords  = maxSlots / 64
	bigSlots  = 1 // at least, in a run of a class of 4 KiB and more
	dataSlots = 4 // the same, in a heap of kind Data
	maxRunLog = 4 // runs of smaller classes grow from 1 to 1<<4 pages
	apartLog  = 2 // runs of AllocApart, which are short-lived, only to 1<<2
)

type class struct {
	size  uint32
	inv   uint64                // ceil(2^40 / size), to divide an offset by size
	pages [maxRunLog + 1]uint16 // pages of a run, by how many the heap has
}

var classes = makeClasses()

// classOf returns the class of a block of n bytes, n <= MaxSmall.
func classOf(n int) int {
	if n <= linearMax {
		return max((n+7)>>3, 2)
	}
	// n in (2^k, 2^(k+1)]: eight steps of 2^(k-3).
	k := bits.Len(uint(n-1)) - 1
	step := (n - 1) >> (k - 3) & 7
	return numLinear + (k-7)*8 + step
}

func classSize(c int) int {
	if c < numLinear {
		return max(c*8, 16)
	}
	c -= numLinear
	k := c/8 + 7
	return 1<<k + (c%8+1)<<(k-3)
}

// RoundSize returns how many bytes a block of n bytes really takes.
func RoundSize(n int) int {
	if n <= MaxSmall {
		return int(classes[classOf(n)].size)
	}
	return (n + PageSize - 1) &^ (PageSize - 1)
}

func makeClasses() (t [numClasses]class) {
	for c := range t {
		size := classSize(c)
		t[c].size = uint32(size)
		t[c].inv = uint64((1<<40 + size - 1) / size)
		if size >= PageSize {
			slots := bigSlots
			for slots*size%PageSize != 0 {
				slots *= 2
			}
			for i := range t[c].pages {
				t[c].pages[i] = uint16(slots * size / PageSize)
			}
			continue
		}
		// The smallest runs whose tail wastes at most 1/16 come first; a heap
		// with many blocks of the class goes on to larger ones.
		last := 0
		for log := maxRunLog; log >= 0; log-- {
			run := PageSize << log
			slots := run / size
			fits := slots <= maxSlots && (run-slots*size)*16 <= run
			if fits || last == 0 && slots <= maxSlots {
				last = 1 << log
			}
			if last != 0 {
				t[c].pages[log] = uint16(last)
			}
		}
		for log := range t[c].pages { // sizes too small for the largest runs
			if t[c].pages[log] == 0 {
				t[c].pages[log] = t[c].pages[log-1]
			}
		}
	}
	return t
}
