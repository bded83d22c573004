package command

import (
	"kvd/kv"
	"kvd/kv/resp"
)

// minBulkLimit is the least that proto-max-bulk-len can be set to: shorter
// strings need no look at the configuration.
const minBulkLimit = 1 << 20

// lengthOK tells whether a string of size+more bytes may be made; if not, the
// error is replied.
func (x *Ctx) lengthOK(size, more int64) bool {
	total := size + more
	if total < 0 || total > minBulkLimit && total > x.Config.Int("proto-max-bulk-len") {
		x.Err(errStringTooLong)
		return false
	}
	return true
}

// stringLen returns the length of the string in it, 0 if there is no key.
func stringLen(it *kv.Item) int64 {
	if it.Type == kv.TypeNone {
		return 0
	}
	return it.Len()
}

func cmdAppend(x *Ctx) {
	key, more := x.Args[1], x.Args[2]
	it, found := x.lookupWrite(key)
	if !found {
		if x.store(len(x.Client.Out), key, more, kv.NoExpiry) {
			x.Int(int64(len(more)))
		}
		return
	}
	if x.wrongType(it) {
		return
	}
	size := it.Len()
	if !x.lengthOK(size, int64(len(more))) {
		return
	}
	x.overwrite(key, size, more)
}

func cmdSetrange(x *Ctx) {
	key, value := x.Args[1], x.Args[3]
	offset, ok := x.parseInt(x.Args[2])
	if !ok {
		return
	}
	if offset < 0 {
		x.Err(errOffset)
		return
	}
	it, found := x.lookupWrite(key)
	if found && x.wrongType(it) {
		return
	}
	if len(value) == 0 {
		x.Int(stringLen(&it))
		return
	}
	if x.lengthOK(offset, int64(len(value))) {
		x.overwrite(key, offset, value)
	}
}

// overwrite writes value at offset into the string at key, grows it as needed and replies
// its new length.
func (x *Ctx) overwrite(key []byte, offset int64, value []byte) {
	size, err := x.Tx.WriteAt(x.Client.db, key, offset, value)
	if err != nil {
		x.storeErr(err)
		return
	}
	x.Int(size)
}

func cmdSubstr(x *Ctx) { cmdGetrange(x) }

func cmdGetrange(x *Ctx) {
	start, ok := x.parseInt(x.Args[2])
	if !ok {
		return
	}
	end, ok := x.parseInt(x.Args[3])
	if !ok {
		return
	}
	it, found := x.lookupRead(x.Args[1])
	if !found {
		x.raw(resp.EmptyBulk)
		return
	}
	if x.wrongType(it) {
		return
	}
	n := it.Len()
	// Two ends before the beginning give nothing even where both are moved to 0.
	if start < 0 && end < 0 && start > end {
		x.raw(resp.EmptyBulk)
		return
	}
	if start < 0 {
		start = max(start+n, 0)
	}
	if end < 0 {
		end = max(end+n, 0)
	}
	end = min(end, n-1)
	if start > end {
		x.raw(resp.EmptyBulk)
		return
	}
	x.bulkRange(x.Args[1], &it, start, end+1)
}
