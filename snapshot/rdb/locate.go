package rdb

// crcUnstep[t] is the byte b whose table entry crcTables[0][b] has t as its uppermost byte.
var crcUnstep = makeCRCUnstep()

func makeCRCUnstep() *[256]byte {
	t := new([256]byte)
	for b, c := range crcTables[0] {
		t[c>>56] = byte(b)
	}
	return t
}

// LocateError finds the one place in n bytes where one byte, or two neighbours, are not as they were when
// the checksum was stored. diff is the stored checksum XOR that of the bytes as they are. It returns the
// offset and what the byte there and the one behind it must be XORed with. There may be no such place;
// then it finds one by chance with a probability of n in 2^48, and n in 2^56 above 1 GiB, where it looks for
// one byte only. It takes about two seconds for each GB.
func LocateError(diff uint64, n int64) (offset int64, mask [2]byte, ok bool) {
	limit := uint64(1 << 16)
	if n > 1<<30 {
		limit = 1 << 8
	}
	// What a wrong byte does to the checksum goes on through the table once for each byte that follows. Go
	// back byte by byte: where nothing is left but the byte itself, there it was.
	for i := int64(1); i <= n; i++ {
		b := crcUnstep[diff>>56]
		diff = (diff^crcTables[0][b])<<8 | uint64(b)
		if diff < limit && diff != 0 && (i > 1 || diff < 1<<8) {
			return n - i, [2]byte{byte(diff), byte(diff >> 8)}, true
		}
	}
	return 0, mask, false
}
