//! What stands around a demo's world: its folder with keys and vault, the server that plays its services, the adapters.
//!
//! What the documents and events of a demo leave open is filled in here: `{port}`, `{approver}`, `{provider}`, `{model}`.
//! Never here: what happens in the world. Read next: `server.rs`, then `run.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aos_air::def::PublicKey;
use aos_air::text::Source;
use aos_air::validate::Draft;
use aos_host::adapter::Adapter;
use aos_host::adapter::blob::BlobAdapter;
use aos_host::adapter::http::{Http, Settings};
use aos_host::adapter::llm::{Llm, Price, Provider};
use aos_host::adapter::vault::VaultAdapter;
use aos_host::dispatch::{Dispatcher, Options};
use aos_host::driver::{Ambient, StoreBlobs, System};
use aos_host::keys::{Keys, Secret, Vault};
use aos_host::load;
use ed25519_dalek::SigningKey;

use crate::error::RunError;
use crate::llm::{Model, OPENAI};
use crate::server::{Play, Server};

/// The file of a demo that says how its services behave.
const PLAY: &str = "server.json";
/// Where a node keeps the port that its worlds know.
const PORT: &str = "port";
/// Where a node keeps the key of the person who approves.
const APPROVER: &str = "approver.key";
/// The binding of the key for a language model.
pub const LLM_BINDING: &str = "demo.llm";

/// The surroundings of a demo's world.
pub struct Node {
    folder: PathBuf,
    server: Option<Server>,
    secrets: BTreeMap<String, String>,
    model: Model,
    approver: Option<SigningKey>,
}

impl Node {
    /// Opens the surroundings in `folder`: starts the demo's server, on the port that this folder's worlds know.
    pub fn open(folder: &Path, demo: &Path) -> Result<Self, RunError> {
        let model = Model::chosen()?;
        let play = demo.join(PLAY);
        let mut node = Self { folder: folder.into(), server: None, secrets: BTreeMap::new(), model, approver: None };
        if !play.exists() {
            return Ok(node);
        }
        let text = fs::read_to_string(&play).map_err(RunError::io(&play))?;
        let play: Play = serde_json::from_str(&text).map_err(|source| RunError::Play { path: play, source })?;
        node.secrets.clone_from(&play.secrets);
        node.make_folder()?;
        let kept = folder.join(PORT);
        let port = fs::read_to_string(&kept).ok().and_then(|text| text.trim().parse().ok());
        let server = Server::start(play, port).map_err(|source| RunError::Port { port, source })?;
        if port.is_none() {
            fs::write(&kept, server.port().to_string()).map_err(RunError::io(&kept))?;
        }
        node.server = Some(server);
        Ok(node)
    }

    fn make_folder(&self) -> Result<(), RunError> {
        fs::create_dir_all(&self.folder).map_err(RunError::io(&self.folder))
    }

    /// Reads the documents of a folder, with what they leave open filled in.
    pub fn documents(&mut self, folder: &Path) -> Result<Draft, RunError> {
        if self.server.is_none() {
            return Ok(load::folder(folder)?);
        }
        let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut paths: Vec<PathBuf> =
            entries.map_err(RunError::io(folder))?.into_iter().map(|entry| entry.path()).collect();
        paths.retain(|path| path.to_string_lossy().ends_with(load::SUFFIX));
        paths.sort();
        let sources: Vec<Source> = paths.iter().map(|path| self.source(path)).collect::<Result<_, _>>()?;
        Ok(Draft::read(&sources))
    }

    /// Reads a file, with what it leaves open filled in.
    pub fn source(&mut self, path: &Path) -> Result<Source, RunError> {
        let mut source = load::file(path)?;
        if let Some(server) = &self.server {
            let Model { provider, model, .. } = &self.model;
            let open =
                [("{port}", server.port().to_string()), ("{provider}", provider.clone()), ("{model}", model.clone())];
            for (open, filling) in open {
                source.text = source.text.replace(open, &filling);
            }
        }
        if source.text.contains("{approver}") {
            let key = PublicKey(self.approver()?.verifying_key().to_bytes());
            source.text = source.text.replace("{approver}", &key.to_string());
        }
        Ok(source)
    }

    /// Returns the key of the person who approves, made once for a folder.
    pub fn approver(&mut self) -> Result<&SigningKey, RunError> {
        let key = match self.approver.take() {
            Some(key) => key,
            None => self.read_approver()?,
        };
        Ok(self.approver.insert(key))
    }

    fn read_approver(&self) -> Result<SigningKey, RunError> {
        self.make_folder()?;
        let path = self.folder.join(APPROVER);
        let failed = RunError::io(&path);
        let seed = match fs::read(&path) {
            Ok(bytes) => bytes.try_into().map_err(|_| failed(io::ErrorKind::InvalidData.into()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let seed: [u8; 32] = System.random()?;
                let file = fs::File::options().write(true).create_new(true).mode(0o600).open(&path);
                file.and_then(|mut file| file.write_all(&seed)).map_err(failed)?;
                seed
            }
            Err(error) => return Err(failed(error)),
        };
        Ok(SigningKey::from_bytes(&seed))
    }

    /// Lets the manifest trust this node's keys for every adapter that it needs and names no key for.
    pub fn trust(&self, draft: &mut Draft) -> Result<Option<Arc<Keys>>, RunError> {
        let adapters = draft.untrusted();
        if adapters.is_empty() {
            return Ok(None);
        }
        self.make_folder()?;
        let mut keys = Keys::open(&self.folder)?;
        for adapter in adapters {
            draft.trust(&keys.newest(&adapter)?.public());
        }
        Ok(Some(Arc::new(keys)))
    }

    /// Makes the dispatcher with every adapter that demos use.
    pub fn dispatcher(&self, blobs: &StoreBlobs) -> Result<Dispatcher, RunError> {
        let vault = self.vault()?;
        let http = Http::new(Settings::default())?;
        let llm = Llm::new(Settings::default(), BTreeMap::from([self.provider()]))?;
        let mut adapters: Vec<Arc<dyn Adapter>> = vec![Arc::new(BlobAdapter), Arc::new(http), Arc::new(llm)];
        adapters.extend(vault.iter().map(|vault| Arc::new(VaultAdapter(Arc::clone(vault))) as Arc<dyn Adapter>));
        let dispatcher = Dispatcher::new(adapters, vault, Arc::new(blobs.clone()), Options::default());
        dispatcher.map_err(RunError::io(Path::new("a thread")))
    }

    /// Opens the vault, with the demo's secrets in it; none for a demo without secrets.
    fn vault(&self) -> Result<Option<Arc<Vault>>, RunError> {
        if self.secrets.is_empty() {
            return Ok(None);
        }
        let vault = Vault::open(&self.folder)?;
        for (binding, value) in &self.secrets {
            let value = self.model.key.as_ref().filter(|_| binding == LLM_BINDING).unwrap_or(value);
            let value = Secret::new(value.clone().into_bytes());
            if vault.secret(binding, None).is_ok_and(|held| held.expose() == value.expose()) {
                continue;
            }
            let intake = vault.intake(&value)?;
            let version = vault.put(binding, &intake.handle, &intake.digest)?;
            vault.rotate(binding, version.version, &version.digest)?;
        }
        Ok(Some(Arc::new(vault)))
    }

    /// Returns the language model's provider: the one that the environment names, else the demo's server.
    fn provider(&self) -> (String, Provider) {
        let Model { provider, model, base_url, protocol, .. } = &self.model;
        let port = self.server.as_ref().map_or(0, Server::port);
        let base_url = base_url.clone().unwrap_or_else(|| format!("http://127.0.0.1:{port}/v1"));
        // A price for the story: what a real provider charges is on its own bill.
        let prices = BTreeMap::from([(model.clone(), Price { prompt: 15_000, completion: 60_000 })]);
        // OpenAI's newer models know this word alone; other servers of the protocol may know the older one alone.
        let max_completion_tokens = base_url == OPENAI;
        let set_up = Provider { protocol: *protocol, base_url, prices: Some(prices), key: None, max_completion_tokens };
        (provider.clone(), set_up)
    }

    /// Ends the server, and returns how often each request was performed.
    pub fn end(self) -> BTreeMap<String, u64> {
        self.server.map(|server| server.performed()).unwrap_or_default()
    }
}
