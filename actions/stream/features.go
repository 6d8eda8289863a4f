package stream

import (
	"fmt"
	"strings"
)

// Features are what a reader of a stream must know of: DMU_BACKUP_FEATURE_… in OpenZFS include/sys/zfs_ioctl.h, bit
// 0 the lowest. They had 30 bits, and have 56 since OpenZFS 2.3.
type Features uint64

// Those that are asked for here.
const (
	FeatureEmbed       Features = 1 << 16 // -e
	FeatureLargeBlocks Features = 1 << 19 // -L
	FeatureResuming    Features = 1 << 20 // goes on in the middle
	FeatureRedacted    Features = 1 << 21
	FeatureCompressed  Features = 1 << 22 // -c
	FeatureRaw         Features = 1 << 24 // -w
)

// In OpenZFS of August 2026. Bits 3 to 15 belong to other makers, 18 to Delphix.
var featureNames = map[int]string{
	0: "dedup", 1: "dedupprops", 2: "sa_spill", 16: "embed_data", 17: "lz4", 19: "large_blocks", 20: "resuming",
	21: "redacted", 22: "compressed", 23: "large_dnode", 24: "raw", 25: "zstd", 26: "holds", 27: "switch_to_large_blocks",
	28: "longname", 29: "large_microzap",
}

// Has tells whether all of them are there.
func (f Features) Has(all Features) bool { return f&all == all }

// Names are the names in zfs_ioctl.h, in lower case and without DMU_BACKUP_FEATURE_, the lowest bit first.
func (f Features) Names() []string {
	var names []string
	for bit := range 64 {
		if f>>bit&1 == 0 {
			continue
		}
		name, ok := featureNames[bit]
		if !ok {
			name = fmt.Sprintf("bit_%d", bit)
		}
		names = append(names, name)
	}
	return names
}

func (f Features) String() string { return strings.Join(f.Names(), " ") }
