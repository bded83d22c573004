package command

var (
	hashCommands   []*Spec
	zsetCommands   []*Spec
	geoCommands    []*Spec
	listCommands   []*Spec
	streamCommands []*Spec
	bitmapCommands []*Spec
	hllCommands    []*Spec
	sortCommands   []*Spec
)
