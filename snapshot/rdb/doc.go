// Package rdb reads and writes the RDB dump file format of Redis and Valkey, and the payload of
// DUMP and RESTORE. It knows bytes only: no files, no store. It imports kv/packed, which has the
// blocks of small collections, and the standard library.
//
// A file is a stream of one-byte opcodes with their operands. A byte below 244 in an opcode's place
// is a value type and starts a key:
//
//	+-----------+---------+-----------+-----------+-----~ ~-----+-----+-------+
//	| REDIS0010 | AUX k v | SELECTDB  | RESIZEDB  | key … key   | EOF | CRC64 |
//	| 9 bytes   | 0 … n   | db number | keys, ttl |             | ff  | 8, LE |
//	+-----------+---------+-----------+-----------+-----~ ~-----+-----+-------+
//	                      |<------- once for each database ---->|
//
//	key: [EXPIRETIME_MS int64 LE | EXPIRETIME int32 LE] [IDLE len | FREQ byte] type string(key) value
//
//	length:  00nnnnnn                      6 bits
//	         01nnnnnn nnnnnnnn             14 bits
//	         10000000 4 bytes, big endian  32 bits
//	         10000001 8 bytes, big endian  64 bits
//	         11eeeeee                      no length: a string in encoding e follows
//	string:  length bytes                  raw
//	         c0 int8 | c1 int16 | c2 int32 little endian, a canonical decimal number
//	         c3 len(compressed) len(raw) compressed bytes (LZF)
//
// The checksum is CRC64 Jones over everything before it; eight zero bytes mean that it was off.
//
// # Reading
//
// [Decoder] turns a file into events. Its input is not trusted: each length is checked against a
// limit, and memory grows only with bytes that really arrived (LZF: at most 88 times as much). Every
// value type of RDB versions 1 to 12 and of Valkey's 80 is read but those of modules; a collection
// comes as one block, if a store can take it as it lies, or as its elements, in pieces that grow
// with what comes, from half a megabyte up to 32 (see [Form]). Both are checked element by element. Modules and function libraries are
// refused by an error that names them, or passed over.
//
// # Writing, and the rule of the forked child
//
// [Encoder] writes records: strings by one call, other values piece by piece (Key, Len, Str, …).
// Which type a value gets is the caller's choice; see package value. It runs in a forked child without a working Go runtime, as well as in an ordinary
// goroutine. So from [Encoder.Reset] on, neither it nor any function on its path (the Append
// functions, [CompressLZF], [UpdateCRC]) allocates, locks, defers, asserts interfaces, touches
// maps, writes a pointer into the heap (no write barrier) or uses more than about 1 KiB of
// stack. Buffers are set once, at construction; afterwards integers change and nothing else.
// TestEncoderAllocatesNothing and TestChildSafeSource hold it to that.
package rdb
