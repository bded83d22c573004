package rdb

import "encoding/binary"

// Opcodes: the bytes that may stand where a value type would start a key.
const (
	OpSlotImport    = 243 // Valkey 9: a slot migration under way; must be understood
	OpSlotInfo      = 244 // sizes of a cluster slot: a hint
	OpFunction2     = 245 // a function library
	OpFunctionPreGA = 246 // the same of the 7.0 release candidates
	OpModuleAux     = 247
	OpIdle          = 248
	OpFreq          = 249
	OpAux           = 250
	OpResizeDB      = 251
	OpExpireTimeMs  = 252
	OpExpireTime    = 253
	OpSelectDB      = 254
	OpEOF           = 255
)

// RDB versions. Redis and Valkey share 1–11, Redis goes on with 12, Valkey with 80.
const (
	// Version is the version written unless another is asked for: that of Redis 7.0.
	Version = 10

	minWriteVersion  = 7 // AUX and RESIZEDB
	maxRedisVersion  = 12
	minValkeyVersion = 80
	maxValkeyVersion = 80
	checksumVersion  = 5 // from here on a checksum follows EOF
)

// headerSize is the size of "REDIS0010" or "VALKEY080".
const headerSize = 9

// VersionFieldTTL is the lowest version of Redis in which the fields of a hash may have an expiry, and
// VersionValkey the one of Valkey.
const (
	VersionFieldTTL = 12
	VersionValkey   = 80
)

// AppendHeader appends "REDIS" and the version, 0 … 9999, in four digits; Valkey's own are "VALKEY" and
// three.
func AppendHeader(dst []byte, version int) []byte {
	if version >= minValkeyVersion && version <= maxValkeyVersion {
		return append(dst, 'V', 'A', 'L', 'K', 'E', 'Y', '0', byte('0'+version/10), byte('0'+version%10))
	}
	return append(dst, 'R', 'E', 'D', 'I', 'S', byte('0'+version/1000%10), byte('0'+version/100%10),
		byte('0'+version/10%10), byte('0'+version%10))
}

// ReadHeader reads the nine bytes that start a file. ok is false if they are not those of an RDB
// file, or if the name does not go with the version, which is then not 0; whether the version can
// be read is another question, see [SupportedVersion].
func ReadHeader(p []byte) (version int, ok bool) {
	if len(p) < headerSize {
		return 0, false
	}
	digits := p[5:headerSize]
	valkey := string(p[:6]) == "VALKEY"
	if valkey {
		digits = p[6:headerSize]
	} else if string(p[:5]) != "REDIS" {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		version = version*10 + int(c-'0')
	}
	return version, valkey == (version >= minValkeyVersion)
}

// SupportedVersion reports whether files of this version can be read.
func SupportedVersion(version int) bool {
	return version >= 1 && version <= maxRedisVersion ||
		version >= minValkeyVersion && version <= maxValkeyVersion
}

// AppendExpireMs appends an expiry opcode with its operand, a Unix time in milliseconds.
func AppendExpireMs(dst []byte, atMs int64) []byte {
	return binary.LittleEndian.AppendUint64(append(dst, OpExpireTimeMs), uint64(atMs))
}

// ReadExpireMs reads the 8-byte operand of OpExpireTimeMs.
func ReadExpireMs(p []byte) (atMs int64, size int, err error) {
	if len(p) < 8 {
		return 0, 0, ErrShort
	}
	return int64(binary.LittleEndian.Uint64(p)), 8, nil
}

// AppendExpireSec appends the expiry opcode of RDB versions 1 and 2 with its operand, a Unix time in
// seconds.
func AppendExpireSec(dst []byte, atSec int32) []byte {
	return binary.LittleEndian.AppendUint32(append(dst, OpExpireTime), uint32(atSec))
}

// ReadExpireSec reads the 4-byte operand of OpExpireTime.
func ReadExpireSec(p []byte) (atSec int32, size int, err error) {
	if len(p) < 4 {
		return 0, 0, ErrShort
	}
	return int32(binary.LittleEndian.Uint32(p)), 4, nil
}

// AppendIdle appends the LRU opcode: seconds since the key was last used.
func AppendIdle(dst []byte, seconds uint64) []byte {
	return AppendLen(append(dst, OpIdle), seconds)
}

// ReadIdle reads the operand of OpIdle.
func ReadIdle(p []byte) (seconds uint64, size int, err error) { return ReadPlainLen(p) }

// AppendFreq appends the LFU opcode: the logarithmic access counter.
func AppendFreq(dst []byte, freq uint8) []byte { return append(dst, OpFreq, freq) }

// ReadFreq reads the operand of OpFreq.
func ReadFreq(p []byte) (freq uint8, size int, err error) {
	if len(p) == 0 {
		return 0, 0, ErrShort
	}
	return p[0], 1, nil
}

// AppendSelectDB appends the opcode that makes db the database of the keys that follow.
func AppendSelectDB(dst []byte, db uint64) []byte {
	return AppendLen(append(dst, OpSelectDB), db)
}

// ReadSelectDB reads the operand of OpSelectDB.
func ReadSelectDB(p []byte) (db uint64, size int, err error) { return ReadPlainLen(p) }

// AppendResizeDB appends the hint how many keys the database has, and how many of them with an expiry.
func AppendResizeDB(dst []byte, keys, expires uint64) []byte {
	return AppendLen(AppendLen(append(dst, OpResizeDB), keys), expires)
}

// ReadResizeDB reads the two operands of OpResizeDB.
func ReadResizeDB(p []byte) (keys, expires uint64, size int, err error) {
	keys, n, err := ReadPlainLen(p)
	if err != nil {
		return 0, 0, 0, err
	}
	expires, m, err := ReadPlainLen(p[n:])
	return keys, expires, n + m, err
}

// moduleNameChars are the 64 characters of a module type's name, six bits each.
const moduleNameChars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// moduleName returns the nine characters in the upper 54 bits of a module type id.
func moduleName(id uint64) string {
	var name [9]byte
	for i := range name {
		name[i] = moduleNameChars[id>>(58-6*i)&63]
	}
	return string(name[:])
}
