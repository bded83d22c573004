package snapshot

import (
	"encoding/binary"
	"os"
	"sync"
	"sync/atomic"

	"kvd/kv"
	"kvd/snapshot/internal/fork"
	"kvd/snapshot/rdb"
	"kvd/snapshot/value"
)

// Several goroutines write one file. Each is a lane: it encodes whole shards into
// a buffer of its own, and what is full goes to the file as one block.
//
//	lane 1:  [SELECTDB key key …][SELECTDB key …]   ╮
//	lane 2:  [SELECTDB key … big value, in pieces]  ├─►  head, blocks as they come, footer
//	lane 3:  [SELECTDB key key SELECTDB key …]      ╯
//
// The blocks stand in any order, so each begins with a SELECTDB and holds whole
// records. A record that no buffer holds is written in pieces, and no other lane
// may come in between.

// maxLanes bounds Options.Threads: a shard is written by one lane.
const maxLanes = 64

// laneFile is the file that all lanes write to. A lane reserves its place under
// the lock and writes outside it.
type laneFile struct {
	f        *os.File
	checksum bool
	stop     *atomic.Bool
	err      atomic.Pointer[error] // the first one stays

	mu     sync.Mutex // a lane holds it from the first piece of a big record to the last
	window syncWindow // but pace
	crc    uint64     // of all that has a place

	paceMu sync.Mutex // guards window.pace
}

// put writes a block, or a piece of one, behind all others. held says that the
// caller has mu; then p is at most syncPiece bytes.
func (f *laneFile) put(p []byte, held bool) error {
	if err := f.failed(); err != nil {
		return err
	}
	if f.stop.Load() { // looked at here too, since a single key may be most of the data
		return errStopped
	}
	var sum uint64
	if f.checksum {
		sum = rdb.UpdateCRC(0, p)
	}
	if !held {
		f.mu.Lock()
	}
	at := f.window.at
	piece, due := f.window.written(len(p))
	if f.checksum {
		f.crc = rdb.CombineCRC(f.crc, sum, int64(len(p)))
	}
	if !held {
		f.mu.Unlock()
	}
	err := f.writeAt(p, at)
	if err == nil && due {
		var unable bool
		if unable, err = syncPieceAt(f.f, piece); unable {
			f.leaveDisk(held)
		}
	}
	return f.fail(err)
}

// leaveDisk ends the attempts to sync in pieces.
func (f *laneFile) leaveDisk(held bool) {
	if !held {
		f.mu.Lock()
		defer f.mu.Unlock()
	}
	f.window.off = true
}

// writeAt writes p at its place, no faster than the pace.
func (f *laneFile) writeAt(p []byte, at int64) error {
	for len(p) > 0 {
		n := f.window.pace.piece(len(p))
		if err := f.await(n); err != nil {
			return err
		}
		if _, err := f.f.WriteAt(p[:n], at); err != nil {
			return err
		}
		p, at = p[n:], at+int64(n)
	}
	return nil
}

// await waits until n bytes may be written.
func (f *laneFile) await(n int) error {
	if f.window.pace.rate <= 0 {
		return nil
	}
	f.paceMu.Lock()
	d := f.window.pace.book(clock(), n)
	f.paceMu.Unlock()
	return nap(d, f.stop)
}

// fail keeps the first error for all lanes and returns err.
func (f *laneFile) fail(err error) error {
	if err != nil {
		first := err // moved to the heap, but only here
		f.err.CompareAndSwap(nil, &first)
	}
	return err
}

// failed returns the first error.
func (f *laneFile) failed() error {
	if err := f.err.Load(); err != nil {
		return *err
	}
	return nil
}

// finish writes the footer. No lane is at work any more.
func (f *laneFile) finish() error {
	end := []byte{rdb.OpEOF}
	if f.checksum {
		end = binary.LittleEndian.AppendUint64(end, rdb.UpdateCRC(f.crc, end))
	} else {
		end = append(end, make([]byte, 8)...)
	}
	return f.put(end, false)
}

// size returns how many bytes have a place.
func (f *laneFile) size() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.window.at
}

// lane is one encoder and its way to the file.
type lane struct {
	file *laneFile
	enc  *rdb.Encoder
	db   int
	part bool // the block that is written next ends in the middle of a record
	held bool // file.mu is held until the end of the record

	meter value.Meter
}

// Write implements rdb.Sink.
func (l *lane) Write(p []byte) error {
	if l.part && !l.held && len(p) > 0 {
		l.file.mu.Lock()
		l.held = true
	}
	for len(p) > syncPiece {
		if err := l.file.put(p[:syncPiece], l.held); err != nil {
			return err
		}
		p = p[syncPiece:]
	}
	if len(p) == 0 {
		return l.file.failed()
	}
	return l.file.put(p, l.held)
}

// record writes a key.
func (l *lane) record(e *kv.Entry) error {
	if n, whole := value.Size(e); !whole && l.enc.Room() < bufferSize/2 || whole && !l.enc.Fits(len(e.Key)+n) {
		if err := l.enc.Flush(); err != nil {
			return err
		}
	}
	if e.DB != l.db || l.enc.Buffered() == 0 {
		l.db = e.DB
		if err := l.enc.SelectDB(l.db); err != nil {
			return err
		}
	}
	l.part = true
	err := value.Write(l.enc, e, &l.meter)
	if l.held {
		if err == nil {
			err = l.enc.Flush()
		}
		l.file.mu.Unlock()
	}
	l.part, l.held = false, false
	return err
}

// crew is the lanes at work on one dump.
type crew struct {
	dump  *dump
	file  *laneFile
	lanes []*lane // the last one is for hurry
	keys  *atomic.Int64
	stop  *atomic.Bool
	done  chan struct{} // closed when the last lane has ended

	mu       sync.Mutex // guards what follows
	taken    []bool     // by shard
	working  int        // lanes
	started  bool
	hurrying bool
	err      error // the first one
}

// newCrew returns a crew of n lanes, which share buf. It reports the number of keys
// written so far in keys, and ends soon when stop becomes true.
func newCrew(d *dump, file *laneFile, buf []byte, n int, o rdb.EncoderOptions, keys *atomic.Int64, stop *atomic.Bool) *crew {
	c := &crew{dump: d, file: file, keys: keys, stop: stop, done: make(chan struct{})}
	o.Checksum = false // the file's is made of those of the blocks
	for i := range n {
		size := len(buf) / n
		l := &lane{file: file, enc: rdb.NewEncoder(buf[i*size:(i+1)*size], o), db: -1}
		l.enc.Reset(l)
		l.meter.Done = d.meter.Done
		c.lanes = append(c.lanes, l)
	}
	d.enc = c.lanes[0].enc
	return c
}

// write writes the whole file. Each shard is released when it is encoded. The
// errors are those of the file, errStopped and value.ErrType.
func (c *crew) write() error {
	err := c.dump.head()
	if err == nil {
		err = c.dump.sizes()
	}
	if err == nil {
		err = c.dump.enc.Flush()
	}
	if err != nil {
		return err
	}
	for _, l := range c.lanes {
		l.enc.SetVersion(c.dump.enc.Version())
	}
	c.start()
	<-c.done
	if c.err != nil {
		return c.err
	}
	return c.file.finish()
}

// start sets the lanes to work.
func (c *crew) start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.started = true
	c.taken = make([]bool, c.dump.view.Shards())
	nice := c.lanes[:len(c.lanes)-1]
	c.working = len(nice)
	for _, l := range nice {
		l.meter.Rest = fork.GiveWay
		go atNice(threadNice, func() { c.work(l) })
	}
	if c.hurrying {
		c.sprint()
	}
}

// hurry adds a lane of the process's priority: a thread that was made nicer cannot
// be made less nice again without privileges.
func (c *crew) hurry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hurrying {
		return
	}
	c.hurrying = true
	if c.started && c.working > 0 {
		c.sprint()
	}
}

// abandon makes the crew end, and has writers keep nothing more for it than what
// the shards at work have: a lane may be stuck in a write to a disk that stands still.
func (c *crew) abandon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = errStopped
	}
	for shard := range c.dump.view.Shards() {
		if !c.started || !c.taken[shard] {
			c.dump.view.Release(shard)
		}
	}
}

// sprint sets the last lane to work; c.mu is held.
func (c *crew) sprint() {
	c.working++
	go c.work(c.lanes[len(c.lanes)-1])
}

// work has a lane write shards until none is left or one has failed.
func (c *crew) work(l *lane) {
	var err error
	for err == nil {
		shard := c.next()
		if shard < 0 {
			break
		}
		err = c.writeShard(l, shard)
	}
	if err == nil {
		err = l.enc.Flush()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
	if c.working--; c.working == 0 {
		close(c.done)
	}
}

// next takes the shard that retains most: when it is released, that is freed. -1 if
// there is none, or no sense in going on.
func (c *crew) next() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	best, most := -1, int64(-1)
	if c.err != nil {
		return best
	}
	for shard, taken := range c.taken {
		if taken {
			continue
		}
		if n := c.dump.view.Retained(shard); n > most {
			best, most = shard, n
		}
	}
	if best >= 0 {
		c.taken[best] = true
	}
	return best
}

// writeShard encodes a shard and releases it: what is in a buffer needs the View no
// more.
func (c *crew) writeShard(l *lane, shard int) error {
	var (
		e kv.Entry
		n int64
	)
	l.db = -1 // a SELECTDB for each shard, as in dump.write
	w := c.dump.walk(shard)
	for w.Next(&e) {
		if err := l.record(&e); err != nil {
			return err
		}
		if n++; n == keysPerReport {
			c.keys.Add(n)
			n = 0
			if c.stop.Load() {
				return errStopped
			}
			if err := c.file.failed(); err != nil {
				return err
			}
		}
	}
	c.dump.view.Release(shard)
	c.keys.Add(n)
	if c.stop.Load() {
		return errStopped
	}
	return nil
}
