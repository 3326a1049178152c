-- What the sample's owner asked the platform for: extensions, and policies on its files. Run by supabase_admin.

CREATE EXTENSION citext SCHEMA extensions;
CREATE EXTENSION pg_trgm SCHEMA extensions;
CREATE EXTENSION btree_gist SCHEMA extensions;

CREATE POLICY "Avatars are public" ON storage.objects FOR SELECT TO anon, authenticated
  USING (bucket_id = 'avatars');
CREATE POLICY "Everyone writes below their own folder" ON storage.objects FOR ALL TO authenticated
  USING ((storage.foldername(name))[1] = auth.uid()::text)
  WITH CHECK (bucket_id IN ('avatars', 'attachments') AND (storage.foldername(name))[1] = auth.uid()::text);

INSERT INTO vault.secrets (id, name, description, secret, created_at) VALUES
  (md5('vault 1')::uuid, 'stripe_key', 'payments', 'sealed-' || md5('stripe'), '2026-01-02');
