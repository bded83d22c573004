//go:build linux

package load

import (
	"math/rand/v2"
	"strconv"

	"github.com/tidwall/redcon"
)

const (
	maxScan   = 100 // items that a scan reads at most
	fillBatch = 250 // members in one RPUSH or HSET of Fill
)

// source is where a loop's requests come from and what becomes of the replies.
type source interface {
	// issue puts one request, which waits since at, into c; false when there
	// are no more.
	issue(c *conn, at int64) bool
	// answered is told of the reply to p, which came at now. It is checked.
	answered(c *conn, p *pending, resp redcon.RESP, now int64)
	// unanswered is told of a request that had no reply until now.
	unanswered(p *pending, now int64)
	// unsent is told of a request that was due at at and never sent.
	unsent(at, now int64)
}

type part uint8

const (
	partRead part = iota
	partUpdate
	partInsert
	partScan
	partRMW
	numParts
)

// workload makes the requests of a mix.
type workload struct {
	encoder
	rec    *recorder
	shares [numParts]float64 // cumulative, the last is 1
	choose chooser

	inserts int64 // sent
	added   int64 // inserted keys that exist: their SETs are answered
	misses  int64
	lost    int64 // unanswered
}

func newWorkload(s Spec, rec *recorder) *workload {
	w := &workload{encoder: newEncoder(s), rec: rec, choose: newChooser(s.Distribution, s.Items())}
	var sum, upTo float64
	for _, p := range s.Mix.parts() {
		sum += p
	}
	for i, p := range s.Mix.parts() {
		upTo += p
		w.shares[i] = upTo / sum
		if p > 0 {
			for j := i; j < len(w.shares); j++ {
				w.shares[j] = upTo / sum // so that rounding leaves nothing to a part without a share
			}
		}
	}
	return w
}

func (w *workload) draw() part {
	u := w.rng.Float64()
	for p, upTo := range w.shares {
		if u < upTo {
			return part(p)
		}
	}
	return w.last()
}

// last is the last part that has a share.
func (w *workload) last() part {
	for p := numParts - 1; p > 0; p-- {
		if w.shares[p] > w.shares[p-1] {
			return p
		}
	}
	return 0
}

func (w *workload) issue(c *conn, at int64) bool {
	p := w.draw()
	item := w.choose.next(w.rng, w.added)
	switch p {
	case partRead:
		c.out = w.appendRead(c.out, item)
		c.queue.push(pending{at: at, op: readOps[w.kind]})
	case partUpdate:
		c.out = w.appendUpdate(c.out, item)
		c.queue.push(pending{at: at, op: updateOps[w.kind]})
	case partInsert:
		w.insert(c, at, item)
	case partScan:
		c.out = w.appendScan(c.out, item, w.choose.items+w.added)
		c.queue.push(pending{at: at, op: scanOps[w.kind]})
	case partRMW:
		c.out = w.appendRead(c.out, item)
		c.queue.push(pending{at: at, whole: at, item: item, op: readOps[w.kind], role: roleRead})
	}
	return true
}

func (w *workload) insert(c *conn, at, item int64) {
	key, _ := w.split(item)
	switch w.kind {
	case Strings:
		c.out = w.appendUpdate(c.out, w.choose.items+w.inserts)
		c.queue.push(pending{at: at, op: opSet, role: roleInsert})
	case Lists:
		c.out = append(c.out, "*3\r\n$5\r\nLPUSH\r\n"...)
		c.out = w.values.appendBulk(appendKey(c.out, key), w.rng)
		c.out = append(c.out, "*4\r\n$5\r\nLTRIM\r\n"...)
		c.out = appendInt(append(appendKey(c.out, key), "$1\r\n0\r\n"...), w.members-1)
		c.queue.push(pending{at: at, op: opLPush, role: roleFirst})
		c.queue.push(pending{at: at, op: opLTrim})
	case Hashes:
		c.out = append(c.out, "*4\r\n$4\r\nHSET\r\n"...)
		c.out = w.values.appendBulk(appendField(appendKey(c.out, key), w.members+w.inserts), w.rng)
		c.queue.push(pending{at: at, op: opHSet})
	}
	w.inserts++
}

func (w *workload) answered(c *conn, p *pending, resp redcon.RESP, now int64) {
	w.rec.reply(p.op, now-p.at, now)
	if resp.Type == redcon.Bulk && resp.Data == nil {
		w.misses++
	}
	switch p.role {
	case roleRead:
		at := c.clock()
		c.out = w.appendUpdate(c.out, p.item)
		c.queue.push(pending{at: at, whole: p.whole, op: updateOps[w.kind], role: roleWrite})
	case roleWrite:
		w.rec.whole(opRMW, now-p.whole, now)
	case roleInsert:
		w.added++
	case rolePlain, roleFirst:
	}
}

func (w *workload) unanswered(p *pending, now int64) {
	w.lost++
	w.rec.unanswered(p.op, now-p.at)
	if p.role == roleRead || p.role == roleWrite {
		w.rec.unanswered(opRMW, now-p.whole)
	}
}

func (w *workload) unsent(at, now int64) {
	w.lost++
	switch p := w.draw(); p {
	case partRMW:
		w.rec.unanswered(opRMW, now-at)
		w.rec.unanswered(readOps[w.kind], now-at)
	case partRead, partUpdate, partInsert, partScan:
		w.rec.unanswered([numParts][3]op{readOps, updateOps, insertOps, scanOps}[p][w.kind], now-at)
	}
}

// The commands of each Kind.
var (
	readOps   = [...]op{opGet, opLIndex, opHGet}
	updateOps = [...]op{opSet, opLSet, opHSet}
	insertOps = [...]op{opSet, opLPush, opHSet}
	scanOps   = [...]op{opMGet, opLRange, opHMGet}
)

// prober asks PING.
type prober struct {
	rec  *recorder
	lost *int64 // counts the unanswered
}

func (p *prober) issue(c *conn, at int64) bool {
	c.out = append(c.out, "*1\r\n$4\r\nPING\r\n"...)
	c.queue.push(pending{at: at, op: opPing})
	return true
}

func (p *prober) answered(_ *conn, q *pending, _ redcon.RESP, now int64) {
	p.rec.reply(opPing, now-q.at, now)
}

func (p *prober) unanswered(q *pending, now int64) { p.unsent(q.at, now) }

func (p *prober) unsent(at, now int64) {
	*p.lost++
	p.rec.unanswered(opPing, now-at)
}

// encoder writes commands. Nothing of it allocates once dst is large enough.
type encoder struct {
	kind    Kind
	members int64
	values  *values
	rng     *rand.Rand
}

func newEncoder(s Spec) encoder {
	return encoder{
		kind:    s.Kind,
		members: int64(s.Members),
		values:  newValues(s.Values, s.ValueBytes, s.Seed),
		rng:     rand.New(rand.NewPCG(s.Seed, uint64(s.Kind))),
	}
}

// split returns the key of an item, and which of its members it is.
func (e *encoder) split(item int64) (key, member int64) {
	if e.kind == Strings {
		return item, 0
	}
	return item / e.members, item % e.members
}

func (e *encoder) appendRead(dst []byte, item int64) []byte {
	key, member := e.split(item)
	switch e.kind {
	case Lists:
		return appendInt(appendKey(append(dst, "*3\r\n$6\r\nLINDEX\r\n"...), key), member)
	case Hashes:
		return appendField(appendKey(append(dst, "*3\r\n$4\r\nHGET\r\n"...), key), member)
	case Strings:
	}
	return appendKey(append(dst, "*2\r\n$3\r\nGET\r\n"...), key)
}

func (e *encoder) appendUpdate(dst []byte, item int64) []byte {
	key, member := e.split(item)
	switch e.kind {
	case Strings:
		dst = appendKey(append(dst, "*3\r\n$3\r\nSET\r\n"...), key)
	case Lists:
		dst = appendInt(appendKey(append(dst, "*4\r\n$4\r\nLSET\r\n"...), key), member)
	case Hashes:
		dst = appendField(appendKey(append(dst, "*4\r\n$4\r\nHSET\r\n"...), key), member)
	}
	return e.values.appendBulk(dst, e.rng)
}

// appendScan reads a run of 1 to maxScan items from item on: below items, and
// of one list or hash.
func (e *encoder) appendScan(dst []byte, item, items int64) []byte {
	key, member := e.split(item)
	n := 1 + e.rng.Int64N(maxScan)
	switch e.kind {
	case Lists:
		dst = appendInt(appendKey(append(dst, "*4\r\n$6\r\nLRANGE\r\n"...), key), member)
		return appendInt(dst, min(member+n, e.members)-1)
	case Hashes:
		n = min(n, e.members-member)
		dst = appendKey(append(appendHead(dst, '*', n+2), "$5\r\nHMGET\r\n"...), key)
		for i := range n {
			dst = appendField(dst, member+i)
		}
		return dst
	case Strings:
	}
	n = min(n, items-item)
	dst = append(appendHead(dst, '*', n+1), "$4\r\nMGET\r\n"...)
	for i := range n {
		dst = appendKey(dst, item+i)
	}
	return dst
}

func appendKey(dst []byte, i int64) []byte {
	return append(appendDigits(append(dst, "$14\r\nkey:"...), i), '\r', '\n')
}

func appendField(dst []byte, i int64) []byte {
	return append(appendDigits(append(dst, "$16\r\nfield:"...), i), '\r', '\n')
}

// appendDigits appends i with ten digits.
func appendDigits(dst []byte, i int64) []byte {
	const digits = 10
	begin := len(dst)
	dst = append(dst, "0000000000"...)
	for at := begin + digits - 1; i > 0 && at >= begin; at-- {
		dst[at] = '0' + byte(i%10)
		i /= 10
	}
	return dst
}

func appendHead(dst []byte, kind byte, n int64) []byte {
	return append(strconv.AppendInt(append(dst, kind), n, 10), '\r', '\n')
}

// appendInt appends i as a bulk string.
func appendInt(dst []byte, i int64) []byte {
	var digits [20]byte
	s := strconv.AppendInt(digits[:0], i, 10)
	return append(append(appendHead(dst, '$', int64(len(s))), s...), '\r', '\n')
}
