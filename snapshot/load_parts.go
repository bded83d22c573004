package snapshot

import (
	"fmt"
	"runtime/debug"
	"sync"

	"kvd/kv"
	"kvd/snapshot/rdb"
)

// Big collections come in pieces. Those of one key go to one goroutine, in order; it is
// another one for each key, in turn.
const (
	partLines = 2
	// partsEach is how many pieces there are for each goroutine: one that it has, one
	// that waits for it. Another one is being filled.
	partsEach = 2
)

// loaded is what is known of a record besides.
type loaded struct {
	end int64 // offset in the file behind it
	// elements is how many the collection must have then: fewer if one was there twice; 0
	// where that was looked at before.
	elements int64
}

// elementsOf returns loaded.elements for a key, or a piece of its value.
func elementsOf(ev *rdb.Event) int64 {
	if ev.Form != rdb.FormFlat || ev.More || ev.Type.Class() == rdb.ClassList {
		return 0
	}
	return int64(ev.Elements)
}

// repeated are the errors for a collection that has fewer elements than were loaded.
var repeated = map[kv.Type]string{kv.TypeSet: "duplicate set members detected",
	kv.TypeHash: "duplicate hash fields detected", kv.TypeZset: "duplicate zset fields detected"}

// checkElements returns an error if a collection has not as many elements as were loaded.
func checkElements(into *kv.Loader, recs []kv.Record, ends []loaded) error {
	for i := range recs {
		r := &recs[i]
		if n := ends[i].elements; n != 0 && into.Len(r.DB, r.Key) != n {
			return recordError(r, ends[i].end, fmt.Errorf("%w: %s", rdb.ErrFormat, repeated[r.Type]))
		}
	}
	return nil
}

// part is a piece of a collection on its way to an inserter.
type part struct {
	key  []byte
	data []byte // value
	rec  kv.Record
	end  loaded
}

// parts are the goroutines that insert pieces.
type parts struct {
	lines [partLines]chan *part
	empty chan *part
	line  int  // of the present key
	large bool // some piece took more than smallPart
}

// start starts them; close must be called, and then wg is done some time.
func (p *parts) start(l *loader, wg *sync.WaitGroup) {
	p.empty = make(chan *part, partLines*partsEach)
	for range cap(p.empty) {
		p.empty <- &part{}
	}
	for i := range p.lines {
		line := make(chan *part, cap(p.empty))
		p.lines[i] = line
		wg.Go(func() { p.insert(l, line) })
	}
}

func (p *parts) close() {
	for _, line := range p.lines {
		close(line)
	}
}

// add passes the record on, its Value with the memory that it lies in, for which the decoder gets other. It
// waits if the inserters are behind.
func (p *parts) add(dec *rdb.Decoder, rec *kv.Record, end loaded, more bool) {
	x := <-p.empty
	dec.SwapValue(x.data)
	x.key, x.data = append(x.key[:0], rec.Key...), rec.Value
	x.rec, x.end = *rec, end
	x.rec.Key = x.key
	p.large = p.large || cap(x.data) > smallPart
	p.lines[p.line] <- x
	if !more {
		p.line = (p.line + 1) % partLines
	}
}

// smallPart is a capacity, in bytes, up to which pieces are left to the collector when a load has ended.
const smallPart = 4 << 20

// release gives the memory of large pieces back to the system, once the goroutines have ended: nothing else in
// the process needs so much of Go's.
func (p *parts) release() {
	if p.large {
		p.empty = nil
		debug.FreeOSMemory()
	}
}

// keepPart is the largest memory, in bytes, that is kept from one piece to the next. Most pieces of
// elements have less.
const keepPart = 64 << 20

func (p *parts) insert(l *loader, line chan *part) {
	into := l.into.NewLoader()
	for x := range line {
		if !l.failed.Load() {
			if err := l.insert(into, []kv.Record{x.rec}, []loaded{x.end}); err != nil {
				l.fail(err)
			}
		}
		if cap(x.data) > keepPart {
			x.data = nil
		}
		p.empty <- x
	}
}
