package command

import "kvd/kv/packed"

// byteRoom keeps copies of many byte strings. They lie in pieces of memory, so that there are few of
// these.
type byteRoom struct {
	piece []byte
	text  []byte
}

// keep returns a copy of b. It is never nil.
func (r *byteRoom) keep(b []byte) []byte {
	const minPiece, maxPiece = 256, 64 << 10
	if len(b) > cap(r.piece)-len(r.piece) || r.piece == nil {
		r.piece = make([]byte, 0, max(len(b), min(max(2*cap(r.piece), minPiece), maxPiece)))
	}
	n := len(r.piece)
	r.piece = append(r.piece, b...)
	return r.piece[n:len(r.piece):len(r.piece)]
}

// value returns a copy of a value as text.
func (r *byteRoom) value(v *packed.Value) []byte {
	if !v.IsInt {
		return r.keep(v.Text)
	}
	r.text = v.Append(r.text[:0])
	return r.keep(r.text)
}
