export const load = ({ url }) => ({ url: url.href });

export const actions = { default: async ({ request }) => ({ text: (await request.formData()).get("text") }) };
