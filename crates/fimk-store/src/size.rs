//! RocksDB's sizes, for a process of 64 MiB: 8 MiB of memtables, 8 MiB of blocks, two threads.

use rocksdb::{BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, LogLevel, Options};

const MEMTABLE_BYTES: usize = 4 << 20;
const MEMTABLES_BYTES: usize = 8 << 20;
const BLOCK_CACHE_BYTES: usize = 8 << 20;

/// Options that share one block cache.
pub(crate) struct Sizes {
    cache: Cache,
}

impl Sizes {
    pub(crate) fn new() -> Self {
        Self {
            cache: Cache::new_lru_cache(BLOCK_CACHE_BYTES),
        }
    }

    /// Of the database as a whole.
    pub(crate) fn database(&self) -> Options {
        let mut options = self.family();
        // A torn tail is what power failure leaves; anything else is damage and must be said.
        options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
        options.set_paranoid_checks(true);
        options.set_db_write_buffer_size(MEMTABLES_BYTES);
        options.set_max_background_jobs(2);
        // RocksDB keeps a few for itself; a table has at least 4 MiB, and a reader of one is some 10 KiB.
        options.set_max_open_files(64);
        // Bounds the disk, and the time to read it all at the next start.
        options.set_max_total_wal_size(16 << 20);
        options.set_max_manifest_file_size(1 << 20);
        options.set_manifest_preallocation_size(64 << 10);
        // Its own log only adds detail to our error messages.
        options.set_log_level(LogLevel::Warn);
        options.set_keep_log_file_num(1);
        options.set_max_log_file_size(256 << 10);
        // Statistics would wake a thread up.
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        options.set_skip_stats_update_on_db_open(true);
        options
    }

    /// Of one column family.
    pub(crate) fn family(&self) -> Options {
        let mut options = Options::default();
        options.set_write_buffer_size(MEMTABLE_BYTES);
        options.set_max_write_buffer_number(2);
        // An eighth of a memtable, the default, would take 512 KiB for the first byte of each family.
        options.set_arena_block_size(64 << 10);
        options.set_target_file_size_base(8 << 20);
        options.set_max_bytes_for_level_base(32 << 20);
        options.set_compaction_readahead_size(256 << 10);
        // Fast where it is rewritten often, small where it stays.
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_bottommost_compression_type(DBCompressionType::Zstd);
        options.set_block_based_table_factory(&self.blocks());
        options
    }

    fn blocks(&self) -> BlockBasedOptions {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&self.cache);
        // Else indexes and filters have no limit.
        blocks.set_cache_index_and_filter_blocks(true);
        blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
        // Bits a key, for paths that have no record: one in a hundred is looked for in vain.
        blocks.set_bloom_filter(10.0, false);
        blocks
    }
}
