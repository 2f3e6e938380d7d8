/* Made by tests/wireguard/vectors.py. Hexadecimal, but for numbers. */
#ifndef SLUICE_TESTS_WIREGUARD_VECTORS_H
#define SLUICE_TESTS_WIREGUARD_VECTORS_H

#include <stdint.h>

struct kdf_vector {
	const char *key, *data, *out;
};

struct mac_vector {
	const char *key, *data, *out;
};

struct aead_vector {
	const char *key, *plain, *sealed;
	uint64_t counter;
};

struct handshake_vector {
	const char *name, *initiator, *responder, *ephemeral_initiator, *ephemeral_responder,
		*preshared_key;
	uint64_t wall_ns;
	uint32_t index_initiator, index_responder;
	const char *initiation, *response, *key_there, *key_back, *plain, *data_there, *data_back;
};

#define VECTOR_CHAIN_SEED "60e26daef327efc02ec335e2a025d2d016eb4206f87277f52d38d1988b78cd36"
#define VECTOR_HASH_SEED "2211b361081ac566691243db458ad5322d9c6c662293e8b70ee19c65ba079ef3"

static const struct kdf_vector kdf_vectors[] = {
	{
		.key = "746573742d6b6579",
		.data = "746573742d696e707574",
		.out = "6f0e5ad38daba1bea8a0d213688736f19763239305e0f58aba697f9ffc41c633df1194df"
		       "20802a4fe594cde27e92991c8cae66c366e8106aaa937a55fa371e8afac6e2745a325f5d"
		       "c5d11a5b165aad08b0ada28e7b4e666b7c077934a4d76c24",
	},
	{
		.key = "776972656775617264",
		.data = "776972656775617264",
		.out = "491d43bbfdaa8750aaf535e334ecbfe5129967cd64635101c566d4caefda96e81e71a379"
		       "baefd8a79aa4662212fcafe19a23e2b609a3db7d6bcba8f560e3d25f31e1ae48bddfbe5d"
		       "e38f295e5452b1909a1b4e38e183926af3780b0c1e1f0160",
	},
	{
		.key = "",
		.data = "",
		.out = "8387b46bf43eccfcf349552a095d8315c4055beb90208fb1be23b894bc2ed5d058a0e5f6"
		       "faefccf4807bff1f05fa8a9217945762040bcec2f4b4a62bdfe0e86e0ce6ea98ec548f8e"
		       "281e93e32db65621c45eb18dc6f0a7ad94178610a2f7338e",
	},
	{
		.key = "2fa04c6e496b9d14ad10056930d8f455f4b4357fbe0a5fae549f4c31a306625c",
		.data = "",
		.out = "5be8ac4448125593445e20903bd8e7af241fcfaff034e3ffe198b78c03fa0321e1181a2d"
		       "9ad87bf10d0811ddadd536bac3247144e8ca59c966cb0ff530d9b00bdcb22e816c4e0eff"
		       "3734b861ac6729b6940682ab63d6e3374ed28cfde16235d7",
	},
	{
		.key = "2fa04c6e496b9d14ad10056930d8f455f4b4357fbe0a5fae549f4c31a306625c",
		.data = "b95fac70ea9c4765de17b59a3b4c42cbbeb419ef0b664e9796318269dee83987b95fac70"
			"ea9c4765de17b59a3b4c42cbbeb419ef0b664e9796318269dee83987",
		.out = "0021994852b24b721df6ae2d0a9b26eb6b570c56d7cf0ab9ebcba269574d54c453df1a4f"
		       "08f3710bb32488f288f1863bb8527245954a81102d962ba02328e598fcef982fc7ca584f"
		       "b27d72877230c21fbab823941e708502efe843eb73751975",
	},
};

static const struct mac_vector mac_vectors[] = {
	{
		.key = "4815b80eb873fed3f719dee12d860b3c",
		.data = "",
		.out = "4b0528a8fb37fa5ffcabd88eb443dad4",
	},
	{
		.key = "4815b80eb873fed3f719dee12d860b3c",
		.data = "5a3e83659dc6fbeb7e68e9f09e834a7b901da8862fbfa4b77978c0dfa96bbe2c",
		.out = "5aee72f55f534a0a61067cfe4ce61b94",
	},
	{
		.key = "4815b80eb873fed3f719dee12d860b3c",
		.data = "5a3e83659dc6fbeb7e68e9f09e834a7b901da8862fbfa4b77978c0dfa96bbe2c5a3e8365"
			"9dc6fbeb7e68e9f09e834a7b901da8862fbfa4b77978c0dfa96bbe2c",
		.out = "7dec5acf5e902d35dcf695b77593ff17",
	},
	{
		.key = "4815b80eb873fed3f719dee12d860b3c",
		.data = "5a3e83659dc6fbeb7e68e9f09e834a7b901da8862fbfa4b77978c0dfa96bbe2c5a3e8365"
			"9dc6fbeb7e68e9f09e834a7b901da8862fbfa4b77978c0dfa96bbe2c5a3e83659dc6fbeb"
			"7e68e9f09e834a7b901da8862fbfa4b77978c0dfa96bbe2c5a3e83659dc6fbeb7e68e9f0"
			"9e834a7b901da8862fbfa4b77978c0dfa96bbe2c",
		.out = "0ed79b3fc4b04feb60594064671af73d",
	},
	{
		.key = "4815b80eb873fed3f719dee12d860b3c9f7c3a10900cde4fa2fa4e4e9c1f7d9c",
		.data = "",
		.out = "75e96b3740fad4cdf11510589df5dbf5",
	},
	{
		.key = "4815b80eb873fed3f719dee12d860b3c9f7c3a10900cde4fa2fa4e4e9c1f7d9c",
		.data = "5a3e83659dc6fbeb7e68e9f09e834a7b901da8862fbfa4b77978c0dfa96bbe2c",
		.out = "b24e673a49db6b256beee6e2ee112bfa",
	},
	{
		.key = "4815b80eb873fed3f719dee12d860b3c9f7c3a10900cde4fa2fa4e4e9c1f7d9c",
		.data = "5a3e83659dc6fbeb7e68e9f09e834a7b901da8862fbfa4b77978c0dfa96bbe2c5a3e8365"
			"9dc6fbeb7e68e9f09e834a7b901da8862fbfa4b77978c0dfa96bbe2c",
		.out = "4b16f6789a141e50f70fb7a544c0f01a",
	},
	{
		.key = "4815b80eb873fed3f719dee12d860b3c9f7c3a10900cde4fa2fa4e4e9c1f7d9c",
		.data = "5a3e83659dc6fbeb7e68e9f09e834a7b901da8862fbfa4b77978c0dfa96bbe2c5a3e8365"
			"9dc6fbeb7e68e9f09e834a7b901da8862fbfa4b77978c0dfa96bbe2c5a3e83659dc6fbeb"
			"7e68e9f09e834a7b901da8862fbfa4b77978c0dfa96bbe2c5a3e83659dc6fbeb7e68e9f0"
			"9e834a7b901da8862fbfa4b77978c0dfa96bbe2c",
		.out = "1b31e139adf63519328799553e58dce3",
	},
};

static const struct aead_vector aead_vectors[] = {
	{
		.key = "c01694d074a3fd6a27daec6d0d2585a7d41b2849df4bc04056ecd61af15bd6b5",
		.plain = "",
		.sealed = "e77a25ec5a0f5d56c0c339e9a8e70c72",
		.counter = 0u,
	},
	{
		.key = "c01694d074a3fd6a27daec6d0d2585a7d41b2849df4bc04056ecd61af15bd6b5",
		.plain = "8b",
		.sealed = "a0c43e9083124cc7492e741028a6f879f9",
		.counter = 1u,
	},
	{
		.key = "c01694d074a3fd6a27daec6d0d2585a7d41b2849df4bc04056ecd61af15bd6b5",
		.plain = "8b44c4d1df6a632ff8668538a7acd883",
		.sealed = "39a7ab001d628624c1ba357e3bd39e45b483a72681dc1c423936fa9cbdd1aba5",
		.counter = UINT64_C(4294967296),
	},
	{
		.key = "c01694d074a3fd6a27daec6d0d2585a7d41b2849df4bc04056ecd61af15bd6b5",
		.plain = "8b44c4d1df6a632ff8668538a7acd883d7282ea597c472fadb08d864b3fc33408b44c4d1"
			 "df6a632ff8668538a7acd883d7282ea597c472fadb08d864b3fc33",
		.sealed = "1465a1cc02416d160fb0e603f933120a8a59e9d4d4b3c4a2088c29000f22f4026f03cac6"
			  "6c23f1438fc77f4aca63d77b6042f4831463c8ab41d72e9262d30f385238631988b258f7"
			  "181f816cc40a6e",
		.counter = UINT64_C(9223372036854775813),
	},
	{
		.key = "c01694d074a3fd6a27daec6d0d2585a7d41b2849df4bc04056ecd61af15bd6b5",
		.plain = "8b44c4d1df6a632ff8668538a7acd883d7282ea597c472fadb08d864b3fc33408b44c4d1"
			 "df6a632ff8668538a7acd883d7282ea597c472fadb08d864b3fc3340",
		.sealed = "a58bfb289bcb5ca7ce4377cf86e5a809d48ded54cfc5f755faeb254a34ae30742dc280fe"
			  "c2f40b89b6c042891515f12cf101ceb94b3dfaadee00d9065d8389758bbefc652e238751"
			  "42112af56b1d9024",
		.counter = 7u,
	},
	{
		.key = "c01694d074a3fd6a27daec6d0d2585a7d41b2849df4bc04056ecd61af15bd6b5",
		.plain = "8b44c4d1df6a632ff8668538a7acd883d7282ea597c472fadb08d864b3fc33408b44c4d1"
			 "df6a632ff8668538a7acd883d7282ea597c472fadb08d864b3fc33408b",
		.sealed = "acec53bd8d4f0fe450dad05d1c59345f863997813b092d52969a26f71744687649bfd282"
			  "c703032e098011d59a49d804fe79efecf7dfdad3053a25f983f3c6f430c53fd5d180653a"
			  "eb57debb9f2e2ff944",
		.counter = UINT64_C(18446744073709543422),
	},
	{
		.key = "c01694d074a3fd6a27daec6d0d2585a7d41b2849df4bc04056ecd61af15bd6b5",
		.plain = "8b44c4d1df6a632ff8668538a7acd883d7282ea597c472fadb08d864b3fc33408b44c4d1"
			 "df6a632ff8668538a7acd883d7282ea597c472fadb08d864b3fc33408b44c4d1df6a632f"
			 "f8668538a7acd883d7282ea597c472fadb08d864b3fc33408b44c4d1df6a632ff8668538"
			 "a7acd883d7282ea597c472fadb08d864b3fc3340",
		.sealed =
			"f8e2d2bb7b41ae26cbc099501ee82553fc53f15759d10f267bbf80aa22f90ac09aa212af"
			"bbac220ab21e8603691f487fd0accbaed10f7fe7e035c9eccce84777880e0bf0d5c1a879"
			"7416ada170698226a320f5a7f0b635c38f57c99ae51ac74ad0a6e54a34c042854e6a7674"
			"de2e9b1717f3afd4dee680edd7c737ab1c31c73bfb4a6f40f0b953e8f69d311b5a443b01",
		.counter = UINT64_C(1099511627776),
	},
};

static const struct handshake_vector handshake_vectors[] = {
	{
		.name = "plain",
		.initiator = "d86c80a2d53c23527c498034f4f729e6474cbc3ebeda7d6641be550a9a5c1776",
		.responder = "60f68748df29e0b7aaf2d0cec6fe11780c1bf32de5e1d6ccb7db1e236699586c",
		.ephemeral_initiator =
			"406d99dc7d7ffbcbd1cbff184fac36c7e9987efe274106fd6321f61194f2cb72",
		.ephemeral_responder =
			"484c33ecb368ec3b918e618f759def79fb32f35dfa64da752caec5d7e6cf9052",
		.preshared_key = "0000000000000000000000000000000000000000000000000000000000000000",
		.wall_ns = UINT64_C(1700000000973078528),
		.index_initiator = 305419896u,
		.index_responder = 2596069104u,
		.initiation =
			"01000000785634123e3463c290bbd11f39150adbe7a630beebe5ae0a7ec4188e85993747"
			"d8161924784dc3a59106d00f2ccab2a1db24d21178faad9b290031fc22f4958c69969124"
			"68494724ae5a88918489e60134cec03cb248c8f5f8b86615744b4a6d9afe5d4fa1ea86c5"
			"6b4faa04d73929211859fa25776b7162d6c43c1403dbbede000000000000000000000000"
			"00000000",
		.response =
			"02000000f0debc9a7856341275582c47e8118f66e5cba36ff65c08c345fb0e0ffeaf0512"
			"17afe540a786726fbb026453c779b296f18183386cf5156de79f8e461656bee7fad4ea21"
			"6e7488df00000000000000000000000000000000",
		.key_there = "54e1707541c23b73cf08f91e6b50b7c15b69bc187942e7384299d10fe4d2d82c",
		.key_back = "ba95f68ab6d2af1134b044eebdaa8bf865fd9020b4ec1f7b3f951843d88e3395",
		.plain = "68656c6c6f0000000000000000000000",
		.data_there =
			"04000000f0debc9a0000000000000000dbbe73c6e33e2f165200b7bcd660657a380f5110"
			"846a018dabf2ae04b14720fb",
		.data_back =
			"0400000078563412000000000001000065fba0584b33b0292f7c93636ea9384f0f9e351f"
			"7765babd244069150d3a2c7f",
	},
	{
		.name = "psk",
		.initiator = "60f66a7f6750ce410ff2ea59ed8cff57962ca3909ee4f25f7bd8df5b51c3445a",
		.responder = "7855bc42d1a677b74a666c977f676ef86111499acb182931626f9bdda38b894b",
		.ephemeral_initiator =
			"089bb0009312a1b545aea26949ec657c83d372e8f40f6e2d989b7e8ad6e94b62",
		.ephemeral_responder =
			"00b81b55499d02e95a755e166a593f406af917a99a91fd6308e956428f6ee96e",
		.preshared_key = "c8fe358d0428fb6c33974fdcfd95773a9f19b4cc20bcd68b25aaadef8727a43c",
		.wall_ns = UINT64_C(1700001000973078528),
		.index_initiator = 1u,
		.index_responder = 4294967295u,
		.initiation =
			"01000000010000005c22203422836d85cf49ece7a7152789abafe933497b18287005edec"
			"cdbed73398e2af1673c97731e935c04118b921f29540ffa386f7266506639ddeec49b451"
			"86b065f005d8a84c25507dbe94c612be1039186e3d8d2cf0b7d77fa91857319291eeb3cf"
			"073361329a1198d659a720fc3aabcd813553a8c9acec9ca2000000000000000000000000"
			"00000000",
		.response =
			"02000000ffffffff01000000e22b5a790229a0bfd714d2c1eba28c9af078b902d3362868"
			"1dcb8c1518e42f1823d1c085c5f146a6f38cb215943ce9d221644768e9f48b95b2b360ed"
			"8f28c27500000000000000000000000000000000",
		.key_there = "48f41c8c5dbe8f961030199b3d4ae2f87f74b5aed04871ca2bec18460803ea1d",
		.key_back = "38fe10b89a37519faf43f117c41df7937bb4af4a80f2395615fb3df1764e0fd5",
		.plain = "",
		.data_there = "04000000ffffffff00000000000000001d47e6083e4b231f99794e76f48418f5",
		.data_back = "04000000010000000000000000010000e59676044a8336b2a12e04da9018c923",
	},
};

#endif
