package value

import (
	"sync"

	"kvd/kv"
	"kvd/snapshot/rdb"
)

// dumpBuffer is the size of the encoder's buffer for payloads, in bytes.
const dumpBuffer = 64 << 10

// dumper makes payloads.
type dumper struct {
	enc *rdb.Encoder
	out []byte
}

// Write implements rdb.Sink.
func (d *dumper) Write(p []byte) error {
	d.out = append(d.out, p...)
	return nil
}

// dumpers holds those with and without compression: their tables take 64 KiB and more each.
var dumpers [2]sync.Pool

// AppendDump appends the DUMP payload of a value to dst. compress is rdbcompression. A hash
// whose fields expire has version 12, or Valkey's 80 for valkey; all else has version 10.
func AppendDump(dst []byte, it *kv.Item, compress, valkey bool) []byte {
	pool := &dumpers[0]
	if compress {
		pool = &dumpers[1]
	}
	d, _ := pool.Get().(*dumper)
	if d == nil {
		d = &dumper{enc: rdb.NewEncoder(make([]byte, dumpBuffer), rdb.EncoderOptions{Compress: compress})}
	}
	start := len(dst)
	s := ofItem(it)
	if s.plain() {
		dst = rdb.AppendDumpString(dst, s.value, d.enc.Table())
		pool.Put(d)
		return dst
	}
	version := rdb.Version
	d.enc.SetVersion(rdb.VersionFieldTTL)
	if valkey {
		d.enc.SetVersion(rdb.VersionValkey)
	}
	d.enc.Reset(d)
	d.out = dst
	t, first := s.rdbType(d.enc)
	if first != 0 {
		version = d.enc.Version()
	}
	_ = d.enc.Type(t) // to memory: there is no error
	_ = s.write(d.enc, t, first)
	_ = d.enc.Flush()
	dst, d.out = d.out, nil
	pool.Put(d)
	return rdb.AppendDumpFooter(dst, start, version)
}
