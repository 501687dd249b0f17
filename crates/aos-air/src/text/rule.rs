//! Every rule that a document can break, each with its stable code.
//!
//! One table for the JSON reader, the lenses, the definitions and validation, so that no code is made up on the way.
//! Each code has a page in `docs/errors`. The codes of CBOR, of values in CBOR and of WASM modules stand with those.

/// What is wrong with a document, as a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// The text is not JSON.
    JsonSyntax,
    /// An object holds a key twice.
    JsonKeyTwice,
    /// JSON nested deeper than the limit.
    JsonDepth,
    /// A document file larger than the limit.
    JsonSize,
    /// A literal of another type than the schema wants.
    ValueType,
    /// A literal of the right kind that the type cannot hold: out of range, or not in its written form.
    ValueForm,
    /// A record literal lacks a field.
    ValueFieldMissing,
    /// A record literal has a field, or a variant literal a tag, that the type does not have.
    ValueUnknown,
    /// An item of a set or a key of a map stands twice.
    ValueTwice,
    /// A definition without `$kind`.
    KindMissing,
    /// A `$kind` that does not exist.
    KindUnknown,
    /// A key that the format does not have at this place.
    FieldUnknown,
    /// A required field is not there.
    FieldMissing,
    /// A field of another JSON type than the format has at this place.
    FieldType,
    /// A word that is none of those allowed at this place.
    FieldWord,
    /// A text that does not have the form that this place asks for.
    FieldForm,
    /// A text that is no name of a definition.
    NameForm,
    /// Two definitions have one name.
    NameTwice,
    /// A document defines a name in the namespace of the built-ins.
    NameReserved,
    /// A definition whose canonical form is larger or deeper than a node may be.
    NodeSize,
    /// A stored node that is missing.
    NodeMissing,
    /// A stored node whose bytes do not have its hash, or are not canonical.
    NodeDamaged,
    /// A type that is none of the format's.
    TypeForm,
    /// A type too deep, too wide or too large.
    TypeSize,
    /// An option directly over an option or the unit.
    TypeOption,
    /// Schemas that refer to each other in a circle.
    TypeRecursive,
    /// A schema that is named and not there.
    SchemaMissing,
    /// No document is a manifest.
    ManifestMissing,
    /// More than one document is a manifest.
    ManifestTwice,
    /// A definition that no list of the manifest names.
    ManifestUnlisted,
    /// A listed definition that is not there.
    ManifestDangling,
    /// A definition that is listed twice, or more definitions than the limit.
    ManifestList,
    /// A hash in the manifest that is not the definition's.
    ManifestHash,
    /// A module whose WASM is not there.
    ModuleWasm,
    /// A module that is named and not there.
    ModuleMissing,
    /// A module of another kind than this place asks for.
    ModuleKind,
    /// A module whose schemas do not fit its use.
    ModuleSchema,
    /// A module's `key_schema` that is no key type.
    ModuleKey,
    /// A reducer that asks for an effect has no arm for the answer.
    ModuleArm,
    /// An event that the reducer does not take.
    RouteEvent,
    /// An event that several arms of the reducer take.
    RouteArms,
    /// A route's `key_field` that does not lead to a key of the reducer.
    RouteKey,
    /// A route that stands twice.
    RouteTwice,
    /// A trigger that does not fit its plan, or stands twice.
    Trigger,
    /// A capability that is named and not there.
    CapMissing,
    /// A grant that is named and not there.
    GrantMissing,
    /// Two grants have one name.
    GrantTwice,
    /// A grant of another capability type than its use.
    GrantType,
    /// A constraint of a grant that is not in its form, or that nothing can ever meet.
    GrantParams,
    /// A binding for a slot that the module does not declare.
    BindingSlot,
    /// An effect that is named and not there.
    EffectMissing,
    /// Two effects have one kind.
    EffectTwice,
    /// An effect that must not come from here.
    EffectScope,
    /// A capability type that no capability has.
    CapTypeMissing,
    /// A policy that is named and not there.
    PolicyMissing,
    /// A policy's rule that can never match, because what it names is not there.
    PolicyNever,
    /// A text of Cedar, or a pack of rules, that is too large.
    PolicySize,
    /// A text of Cedar that nests too deep.
    PolicyDepth,
    /// A text that Cedar cannot read.
    PolicySyntax,
    /// A policy that does not fit the world's effects and grants.
    PolicyType,
    /// A policy with a place to be filled in.
    PolicyTemplate,
    /// An annotation that does not exist, or that has another value than it may.
    PolicyAnnotation,
    /// Two policies of a text have one id.
    PolicyTwice,
    /// An effect whose parameters policies cannot see, because their type is too large.
    PolicyParams,
    /// A plan that is named and not there.
    PlanMissing,
    /// Two steps, handles or variables of a plan have one name.
    PlanTwice,
    /// An edge that leads from or to a step that is not there.
    PlanEdge,
    /// Steps that wait for each other in a circle.
    PlanCycle,
    /// A reference to a step, variable or handle that the plan does not have.
    PlanUnbound,
    /// `required_caps` or `allowed_effects` differs from what the steps use.
    PlanDeclared,
    /// A correlated plan waits for an event without looking at the correlation.
    PlanCorrelation,
    /// A step reads what no earlier step sets.
    PlanStepUnbound,
    /// An `end` whose result does not go with the plan's output.
    PlanResult,
    /// A plan with more steps than the limit.
    PlanSize,
    /// An event that is raised and routed to keyed cells without a key.
    PlanEventKey,
    /// An operator that does not exist, or with another count of arguments.
    ExprOperator,
    /// A reference of no known form.
    ExprReference,
    /// An expression, or a part of one, of another type than its place.
    ExprType,
    /// A path to a field or tag that the type does not have.
    ExprField,
    /// An expression nested deeper than the limit.
    ExprDepth,
    /// Two principals, hosts or adapter keys of the trust block have one name.
    TrustTwice,
    /// A public key under which no signature could be told from a forged one, or that is no key at all.
    TrustKey,
    /// A limit that does not exist or a value that it may not have.
    LimitRange,
    /// A governance block that cannot be met.
    Governance,
    /// A migration that does not fit its reducer.
    Migration,
    /// A patch of another manifest than the one it is applied to.
    PatchBase,
    /// An operation of a patch that does not exist, or that does nothing.
    PatchOperation,
    /// A definition in a patch that is not the one its operation is about.
    PatchNode,
    /// What an operation replaces or removes is not what it says.
    PatchPreHash,
    /// What an operation changes or removes is not there.
    PatchUnknown,
    /// What an operation adds is there already.
    PatchExists,
    /// What an operation removes is still used.
    PatchStillUsed,
    /// Two operations of a patch change the same thing.
    PatchTwice,
    /// A budget that changes without `set_budget`.
    PatchBudget,
    /// Something that the patch does not name would change with it.
    PatchIncomplete,
}

impl Rule {
    /// Returns the stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::JsonSyntax => "json.syntax",
            Self::JsonKeyTwice => "json.key_twice",
            Self::JsonDepth => "json.depth",
            Self::JsonSize => "json.size",
            Self::ValueType => "value.type",
            Self::ValueForm => "value.form",
            Self::ValueFieldMissing => "value.field_missing",
            Self::ValueUnknown => "value.unknown",
            Self::ValueTwice => "value.twice",
            Self::KindMissing => "kind.missing",
            Self::KindUnknown => "kind.unknown",
            Self::FieldUnknown => "field.unknown",
            Self::FieldMissing => "field.missing",
            Self::FieldType => "field.type",
            Self::FieldWord => "field.word",
            Self::FieldForm => "field.form",
            Self::NameForm => "name.form",
            Self::NameTwice => "name.twice",
            Self::NameReserved => "name.reserved",
            Self::NodeSize => "node.size",
            Self::NodeMissing => "node.missing",
            Self::NodeDamaged => "node.damaged",
            Self::TypeForm => "type.form",
            Self::TypeSize => "type.size",
            Self::TypeOption => "type.option",
            Self::TypeRecursive => "type.recursive",
            Self::SchemaMissing => "schema.missing",
            Self::ManifestMissing => "manifest.missing",
            Self::ManifestTwice => "manifest.twice",
            Self::ManifestUnlisted => "manifest.unlisted",
            Self::ManifestDangling => "manifest.dangling",
            Self::ManifestList => "manifest.list",
            Self::ManifestHash => "manifest.hash",
            Self::ModuleWasm => "module.wasm_missing",
            Self::ModuleMissing => "module.missing",
            Self::ModuleKind => "module.kind",
            Self::ModuleSchema => "module.schema",
            Self::ModuleKey => "module.key",
            Self::ModuleArm => "module.arm_missing",
            Self::RouteEvent => "route.event",
            Self::RouteArms => "route.arms",
            Self::RouteKey => "route.key",
            Self::RouteTwice => "route.twice",
            Self::Trigger => "trigger.unfit",
            Self::CapMissing => "cap.missing",
            Self::GrantMissing => "grant.missing",
            Self::GrantTwice => "grant.twice",
            Self::GrantType => "grant.type",
            Self::GrantParams => "grant.params",
            Self::BindingSlot => "binding.slot",
            Self::EffectMissing => "effect.missing",
            Self::EffectTwice => "effect.twice",
            Self::EffectScope => "effect.scope",
            Self::CapTypeMissing => "cap.type_missing",
            Self::PolicyMissing => "policy.missing",
            Self::PolicyNever => "policy.never",
            Self::PolicySize => "policy.size",
            Self::PolicyDepth => "policy.depth",
            Self::PolicySyntax => "policy.syntax",
            Self::PolicyType => "policy.type",
            Self::PolicyTemplate => "policy.template",
            Self::PolicyAnnotation => "policy.annotation",
            Self::PolicyTwice => "policy.twice",
            Self::PolicyParams => "policy.params",
            Self::PlanMissing => "plan.missing",
            Self::PlanTwice => "plan.twice",
            Self::PlanEdge => "plan.edge",
            Self::PlanCycle => "plan.cycle",
            Self::PlanUnbound => "plan.unbound",
            Self::PlanDeclared => "plan.declared",
            Self::PlanCorrelation => "plan.correlation",
            Self::PlanStepUnbound => "plan.step_unbound",
            Self::PlanResult => "plan.result",
            Self::PlanSize => "plan.size",
            Self::PlanEventKey => "plan.event_key",
            Self::ExprOperator => "expr.operator",
            Self::ExprReference => "expr.reference",
            Self::ExprType => "expr.type",
            Self::ExprField => "expr.field",
            Self::ExprDepth => "expr.depth",
            Self::TrustTwice => "trust.twice",
            Self::TrustKey => "trust.key",
            Self::LimitRange => "limit.range",
            Self::Governance => "governance.unmet",
            Self::Migration => "migration.unfit",
            Self::PatchBase => "patch.base",
            Self::PatchOperation => "patch.operation",
            Self::PatchNode => "patch.node",
            Self::PatchPreHash => "patch.pre_hash",
            Self::PatchUnknown => "patch.unknown",
            Self::PatchExists => "patch.exists",
            Self::PatchStillUsed => "patch.still_used",
            Self::PatchTwice => "patch.twice",
            Self::PatchBudget => "patch.budget",
            Self::PatchIncomplete => "patch.incomplete",
        }
    }
}
