package snapshot

import (
	"kvd/kv"
	"kvd/snapshot/internal/fork"
)

// dataBytes returns what the keys and values of a store take, with their index, in
// bytes.
func dataBytes(s *kv.Store) int64 {
	m := s.Memory()
	return m.Entries + m.Index
}

// storeInputs returns what the store and the machine tell Auto.
func storeInputs(s *kv.Store) autoInputs {
	m := s.Memory()
	keys := int64(0)
	for db := range s.Databases() {
		keys += s.Len(db)
	}
	in := autoInputs{CanFork: !fork.RaceEnabled, Resident: m.Resident, Huge: m.Huge, HugeShare: m.HugeShare}
	in.Free, in.FreeSource = systemMemory()
	if keys > 0 {
		in.EntrySize = m.Entries / keys
	}
	return in
}
