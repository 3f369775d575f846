"""The Kubernetes API as the operator uses it: names, the CustomResourceDefinition and the rights of the operator.

Used by all other folders; imports none of them.
"""
