//! The yardstick: a fresh instance in wasmtime and one call of its entry, with nothing of ours around it.
//!
//! The settings are those of `aos_host::wasm`, written once more, because that is what a program without AgentOS would do.

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, InstancePre, Linker, Module, ModuleExport, OptLevel,
    PoolingAllocationConfig, Store, Val,
};

use crate::Done;

/// A module ready to be called.
pub struct Bare {
    engine: Engine,
    instance: InstancePre<()>,
    memory: ModuleExport,
    alloc: ModuleExport,
    step: ModuleExport,
    /// Fuel and stack of an admitted module.
    counters: Option<(ModuleExport, ModuleExport)>,
}

impl Bare {
    pub fn new(wasm: &[u8]) -> Done<Self> {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_core_instances(64)
            .total_memories(64)
            .total_tables(64)
            .max_memory_size(64 << 20)
            .table_elements(16_384)
            .max_unused_warm_slots(64)
            .linear_memory_keep_resident(1 << 20)
            .table_keep_resident(1 << 16)
            .pagemap_scan(Enabled::Auto);
        let mut config = Config::new();
        config
            .cranelift_opt_level(OptLevel::Speed)
            .max_wasm_stack(1 << 20)
            .wasm_backtrace_max_frames(None)
            .generate_address_map(false)
            .native_unwind_info(false)
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config)?;
        let module = Module::from_binary(&engine, wasm)?;
        let export = |name| module.get_export_index(name).ok_or("an export is missing");
        Ok(Self {
            memory: export("memory")?,
            alloc: export("alloc")?,
            step: export("step")?,
            counters: export("aos:fuel").ok().zip(export("aos:stack").ok()),
            instance: Linker::new(&engine).instantiate_pre(&module)?,
            engine,
        })
    }

    /// Makes an instance, calls its entry with `input` and copies the answer into `output`.
    pub fn call(&self, input: &[u8], output: &mut Vec<u8>) -> Done<()> {
        let mut store = Store::new(&self.engine, ());
        let instance = self.instance.instantiate(&mut store)?;
        let mut export = |export| instance.get_module_export(&mut store, export).ok_or("an export is missing");
        let memory = export(&self.memory)?.into_memory().ok_or("no memory")?;
        let alloc = export(&self.alloc)?.into_func().ok_or("no function")?;
        let step = export(&self.step)?.into_func().ok_or("no function")?;
        if let Some((fuel, stack)) = &self.counters {
            let fuel = export(fuel)?.into_global().ok_or("no global")?;
            let stack = export(stack)?.into_global().ok_or("no global")?;
            fuel.set(&mut store, Val::I64(100_000_000))?;
            stack.set(&mut store, Val::I32(16_384))?;
        }
        let len = u32::try_from(input.len())?;
        let ptr = alloc.typed::<u32, u32>(&store)?.call(&mut store, len)?;
        memory.write(&mut store, usize::try_from(ptr)?, input)?;
        let packed = step.typed::<(u32, u32), u64>(&store)?.call(&mut store, (ptr, len))?;
        output.resize(usize::try_from(packed & u64::from(u32::MAX))?, 0);
        memory.read(&store, usize::try_from(packed >> 32)?, output)?;
        Ok(())
    }
}
