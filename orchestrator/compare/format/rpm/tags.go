// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"fmt"
	"strings"
	"time"

	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
)

// Known tags. The signature header has a numbering of its own.
const (
	tagBuildTime        = 1006
	tagBuildHost        = 1007
	tagOldFileNames     = 1027
	tagFileModes        = 1030
	tagFileTimes        = 1034
	tagFileDigests      = 1035
	tagArchiveSize      = 1046
	tagCookie           = 1094
	tagFileDevices      = 1095
	tagFileInodes       = 1096
	tagDirIndexes       = 1116
	tagBaseNames        = 1117
	tagDirNames         = 1118
	tagCompressor       = 1125
	tagCompressorFlags  = 1126
	tagFileDigestKind   = 5011
	tagPayloadDigest    = 5092
	tagPayloadDigestOf  = 5093
	tagPayloadDigestAlt = 5097

	signedDSA         = 267
	signedRSA         = 268
	signedSHA1        = 269
	signedLongSize    = 270
	signedLongArchive = 271
	signedSHA256      = 273
	signedOpenPGP     = 278
	signedSize        = 1000
	signedPGP         = 1002
	signedMD5         = 1004
	signedGPG         = 1005
	signedArchive     = 1007
	signedReserved    = 1008
)

// meaning describes a tag.
type meaning struct {
	name   string
	weight container.Weight
	signs  bool // the tag is a signature
	room   bool // reserved space: zeros have no meaning
	number func(uint64) string
}

func (m meaning) weigh(value string) container.Weight {
	if m.room && (strings.HasSuffix(value, " zeros") || strings.Trim(value, "0") == "") {
		return container.Form
	}
	return m.weight
}

// tagTable describes the tags of one of the headers.
type tagTable struct {
	prefix string // of field names
	names  map[uint32]string
}

func (t tagTable) meaning(id uint32) meaning {
	m := meaning{name: fmt.Sprint("tag.", id), weight: container.Meaning, number: func(n uint64) string { return fmt.Sprint(n) }}
	if name := t.names[id]; name != "" {
		m.name = name
	}
	if t.prefix == signature {
		switch id {
		case signedDSA, signedRSA, signedOpenPGP, signedPGP, signedGPG:
			m.signs, m.weight = true, container.Header
		case signedReserved:
			m.room = true
		}
		return m
	}
	switch id {
	case tagBuildTime, tagFileTimes:
		m.weight, m.number = container.Header, moment
	case tagBuildHost, tagCookie:
		m.weight = container.Header
	case tagFileDevices, tagFileInodes, tagCompressor, tagCompressorFlags:
		m.weight = container.Form
	case tagFileModes:
		m.number = func(n uint64) string { return fmt.Sprintf("%06o", n) }
	}
	return m
}

// moment formats seconds since 1970, if they are in the range of times.
func moment(n uint64) string {
	if n > 1<<37 {
		return fmt.Sprint(n)
	}
	return time.Unix(int64(n), 0).UTC().Format(time.RFC3339)
}

// perFile returns the tags that have a value for each file.
func perFile() []uint32 {
	return []uint32{1028, 1029, tagFileModes, 1033, tagFileTimes, tagFileDigests, 1036, 1037, 1039, 1040, 1045, tagFileDevices, tagFileInodes,
		1097, 1140, 1141, 1143, 1144, 1147, 5008, 5010, 5090}
}

// signatureNames returns the names of the tags of the signature header.
func signatureNames() map[uint32]string {
	return map[uint32]string{62: "HEADERSIGNATURES", signedDSA: "DSA", signedRSA: "RSA", signedSHA1: "SHA1", signedLongSize: "LONGSIZE",
		signedLongArchive: "LONGARCHIVESIZE", signedSHA256: "SHA256", 274: "FILESIGNATURES", 275: "FILESIGNATURELENGTH",
		276: "VERITYSIGNATURES", 277: "VERITYSIGNATUREALGO", signedOpenPGP: "OPENPGP", 279: "SHA3_256", 999: "RESERVED", signedSize: "SIZE",
		signedPGP: "PGP", signedMD5: "MD5", signedGPG: "GPG", 1006: "PGP5", signedArchive: "PAYLOADSIZE", signedReserved: "RESERVEDSPACE"}
}

// tagNames returns the names of the tags of the main header.
func tagNames() map[uint32]string {
	return map[uint32]string{
		61: "HEADERIMAGE", 62: "HEADERSIGNATURES", 63: "HEADERIMMUTABLE", 100: "HEADERI18NTABLE", 1000: "NAME", 1001: "VERSION",
		1002: "RELEASE", 1003: "EPOCH", 1004: "SUMMARY", 1005: "DESCRIPTION", 1006: "BUILDTIME", 1007: "BUILDHOST",
		1008: "INSTALLTIME", 1009: "SIZE", 1010: "DISTRIBUTION", 1011: "VENDOR", 1012: "GIF", 1013: "XPM", 1014: "LICENSE",
		1015: "PACKAGER", 1016: "GROUP", 1018: "SOURCE", 1019: "PATCH", 1020: "URL", 1021: "OS", 1022: "ARCH", 1023: "PREIN",
		1024: "POSTIN", 1025: "PREUN", 1026: "POSTUN", 1027: "OLDFILENAMES", 1028: "FILESIZES", 1029: "FILESTATES",
		1030: "FILEMODES", 1033: "FILERDEVS", 1034: "FILEMTIMES", 1035: "FILEDIGESTS", 1036: "FILELINKTOS", 1037: "FILEFLAGS",
		1039: "FILEUSERNAME", 1040: "FILEGROUPNAME", 1043: "ICON", 1044: "SOURCERPM", 1045: "FILEVERIFYFLAGS", 1046: "ARCHIVESIZE",
		1047: "PROVIDENAME", 1048: "REQUIREFLAGS", 1049: "REQUIRENAME", 1050: "REQUIREVERSION", 1051: "NOSOURCE", 1052: "NOPATCH",
		1053: "CONFLICTFLAGS", 1054: "CONFLICTNAME", 1055: "CONFLICTVERSION", 1059: "EXCLUDEARCH", 1060: "EXCLUDEOS",
		1061: "EXCLUSIVEARCH", 1062: "EXCLUSIVEOS", 1064: "RPMVERSION", 1065: "TRIGGERSCRIPTS", 1066: "TRIGGERNAME",
		1067: "TRIGGERVERSION", 1068: "TRIGGERFLAGS", 1069: "TRIGGERINDEX", 1079: "VERIFYSCRIPT", 1080: "CHANGELOGTIME",
		1081: "CHANGELOGNAME", 1082: "CHANGELOGTEXT", 1085: "PREINPROG", 1086: "POSTINPROG", 1087: "PREUNPROG", 1088: "POSTUNPROG",
		1089: "BUILDARCHS", 1090: "OBSOLETENAME", 1091: "VERIFYSCRIPTPROG", 1092: "TRIGGERSCRIPTPROG", 1094: "COOKIE",
		1095: "FILEDEVICES", 1096: "FILEINODES", 1097: "FILELANGS", 1098: "PREFIXES", 1099: "INSTPREFIXES", 1106: "SOURCEPACKAGE",
		1112: "PROVIDEFLAGS", 1113: "PROVIDEVERSION", 1114: "OBSOLETEFLAGS", 1115: "OBSOLETEVERSION", 1116: "DIRINDEXES",
		1117: "BASENAMES", 1118: "DIRNAMES", 1119: "ORIGDIRINDEXES", 1120: "ORIGBASENAMES", 1121: "ORIGDIRNAMES", 1122: "OPTFLAGS",
		1123: "DISTURL", 1124: "PAYLOADFORMAT", 1125: "PAYLOADCOMPRESSOR", 1126: "PAYLOADFLAGS", 1127: "INSTALLCOLOR",
		1128: "INSTALLTID", 1129: "REMOVETID", 1132: "PLATFORM", 1133: "PATCHESNAME", 1134: "PATCHESFLAGS", 1135: "PATCHESVERSION",
		1140: "FILECOLORS", 1141: "FILECLASS", 1142: "CLASSDICT", 1143: "FILEDEPENDSX", 1144: "FILEDEPENDSN", 1145: "DEPENDSDICT",
		1146: "SOURCEPKGID", 1147: "FILECONTEXTS", 1148: "FSCONTEXTS", 1149: "RECONTEXTS", 1150: "POLICIES", 1151: "PRETRANS",
		1152: "POSTTRANS", 1153: "PRETRANSPROG", 1154: "POSTTRANSPROG", 1155: "DISTTAG", 1156: "OLDSUGGESTSNAME",
		1157: "OLDSUGGESTSVERSION", 1158: "OLDSUGGESTSFLAGS", 1159: "OLDENHANCESNAME", 1160: "OLDENHANCESVERSION",
		1161: "OLDENHANCESFLAGS", 5008: "LONGFILESIZES", 5009: "LONGSIZE", 5010: "FILECAPS", 5011: "FILEDIGESTALGO", 5012: "BUGURL",
		5020: "PREINFLAGS", 5021: "POSTINFLAGS", 5022: "PREUNFLAGS", 5023: "POSTUNFLAGS", 5024: "PRETRANSFLAGS",
		5025: "POSTTRANSFLAGS", 5026: "VERIFYSCRIPTFLAGS", 5027: "TRIGGERSCRIPTFLAGS", 5030: "POLICYNAMES", 5031: "POLICYTYPES",
		5032: "POLICYTYPESINDEXES", 5033: "POLICYFLAGS", 5034: "VCS", 5035: "ORDERNAME", 5036: "ORDERVERSION", 5037: "ORDERFLAGS",
		5046: "RECOMMENDNAME", 5047: "RECOMMENDVERSION", 5048: "RECOMMENDFLAGS", 5049: "SUGGESTNAME", 5050: "SUGGESTVERSION",
		5051: "SUGGESTFLAGS", 5052: "SUPPLEMENTNAME", 5053: "SUPPLEMENTVERSION", 5054: "SUPPLEMENTFLAGS", 5055: "ENHANCENAME",
		5056: "ENHANCEVERSION", 5057: "ENHANCEFLAGS", 5062: "ENCODING", 5066: "FILETRIGGERSCRIPTS", 5067: "FILETRIGGERSCRIPTPROG",
		5068: "FILETRIGGERSCRIPTFLAGS", 5069: "FILETRIGGERNAME", 5070: "FILETRIGGERINDEX", 5071: "FILETRIGGERVERSION",
		5072: "FILETRIGGERFLAGS", 5076: "TRANSFILETRIGGERSCRIPTS", 5077: "TRANSFILETRIGGERSCRIPTPROG",
		5078: "TRANSFILETRIGGERSCRIPTFLAGS", 5079: "TRANSFILETRIGGERNAME", 5080: "TRANSFILETRIGGERINDEX",
		5081: "TRANSFILETRIGGERVERSION", 5082: "TRANSFILETRIGGERFLAGS", 5084: "FILETRIGGERPRIORITIES",
		5085: "TRANSFILETRIGGERPRIORITIES", 5090: "FILESIGNATURES", 5091: "FILESIGNATURELENGTH", 5092: "PAYLOADDIGEST",
		5093: "PAYLOADDIGESTALGO", 5096: "MODULARITYLABEL", 5097: "PAYLOADDIGESTALT", 5099: "SPEC", 5100: "TRANSLATIONURL",
		5101: "UPSTREAMRELEASES",
	}
}
