package packed

type Value struct {
	Text  []byte
	Int   int64
	IsInt bool
}

func (v *Value) Append(dst []byte) []byte { panic("packed") }
func (v *Value) Equal(elem []byte) bool   { panic("packed") }

func NewListpack() []byte                                { panic("packed") }
func Len(b []byte) int                                   { panic("packed") }
func First(b []byte) int                                 { panic("packed") }
func Last(b []byte) int                                  { panic("packed") }
func Next(b []byte, at int) int                          { panic("packed") }
func Prev(b []byte, at int) int                          { panic("packed") }
func Seek(b []byte, index int) int                       { panic("packed") }
func Get(b []byte, at int) Value                         { panic("packed") }
func Append(b, elem []byte) []byte                       { panic("packed") }
func AppendInt(b []byte, n int64) []byte                 { panic("packed") }
func Insert(b []byte, at int, elem []byte) []byte        { panic("packed") }
func Replace(b []byte, at int, elem []byte) []byte       { panic("packed") }
func Delete(b []byte, at, n int) []byte                  { panic("packed") }
func Find(b []byte, from int, elem []byte, skip int) int { panic("packed") }
func Validate(b []byte) (elements int, err error)        { panic("packed") }
func IntsetNew() []byte                                  { panic("packed") }
func IntsetLen(b []byte) int                             { panic("packed") }
func IntsetAt(b []byte, i int) int64                     { panic("packed") }
func IntsetFind(b []byte, n int64) (i int, ok bool)      { panic("packed") }
func IntsetAdd(b []byte, n int64) ([]byte, bool)         { panic("packed") }
func IntsetDelete(b []byte, n int64) ([]byte, bool)      { panic("packed") }
func IntsetValidate(b []byte) error                      { panic("packed") }
