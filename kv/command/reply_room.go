package command

// replyRoom gives a reply of many elements its memory in few steps. Left to append, which adds a quarter when a buffer is
// large, most of the time of such a reply goes into copying it, and into pages that are touched for the first time.
//
//	room := x.replyRoom(n)
//	for … {
//		x.Bulk(element)
//		room.element(x)
//	}
type replyRoom struct {
	start       int // where the first element stands in Client.Out
	done, total int64
}

// replyRoom is for a reply of about total elements, of which the first one comes next.
func (x *Ctx) replyRoom(total int64) replyRoom {
	return replyRoom{start: len(x.Client.Out), total: total}
}

// roomChecked is after how many elements it is asked whether as many more have room.
const roomChecked = 1 << 10

// element notes that one more element is in Client.Out.
func (r *replyRoom) element(x *Ctx) {
	if r.done++; r.done%roomChecked == 0 {
		r.make(x)
	}
}

// make makes room for what is still to come, judged by what has come, but for no more than some times that: other
// elements may be shorter, or not be there at all.
func (r *replyRoom) make(x *Ctx) {
	const most, spare = 4, 16 // times; a part of what is expected
	out := x.Client.Out
	written, left := int64(len(out)-r.start), max(r.total-r.done, 0)
	each := written/r.done + 1
	if each += each / spare; int64(cap(out)-len(out)) > each*min(left, roomChecked) {
		return
	}
	x.Client.Out = append(make([]byte, 0, int64(len(out))+min(each*left, most*written)), out...)
}
